/** How a URL is signed. */
export interface Signing {
  /** The name of the account in the settings. */
  account: string;
  /** Any of the account's secrets; it cannot be found out from the URL. */
  secret: string;
  /** How long the URL is good; 3600 if not given. */
  seconds?: number;
  /** All URLs that are made within so many seconds expire together, and so are the same; 1 if not given. */
  roundSeconds?: number;
  /** Unix time in seconds; now if not given. */
  now?: number;
}

/**
 * A URL of GET create_file with the account, an expiry and a signature after its parameters.
 * Nobody can change any of them. Throws TypeError for a URL that cannot be signed.
 *
 * For programs that serve pages, not for pages: those must not have the secret.
 */
export function signURL(url: string | URL, signing: Signing): Promise<string>;
