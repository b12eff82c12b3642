/* Signs URLs of tasks, in Node, Deno, Bun and workers: never in a page, which must not have the
   secret. dragon/signing.py does the same in Python. */

const PURPOSE = "dragon: signed task URLs, 1";
const PATH = /\/v[12]\/create_file(?:\/[^/?#]*)?$/;
const MOST_SECONDS = 10_000_000_000;
const OURS = ["account", "expires", "signature", "secret", "api_key"];

/** A URL of GET create_file with the account, an expiry and a signature after its parameters. */
export async function signURL(
  url,
  { account, secret, seconds = 3600, roundSeconds = 1, now = Date.now() / 1000 },
) {
  const [head, ...rest] = String(url).split("?");
  const query = rest.join("?");
  const path = PATH.exec(head);
  if (!path || String(url).includes("#")) {
    throw new TypeError("the URL must lead to /v2/create_file, and have no fragment");
  }
  const pairs = [...new URLSearchParams("?" + query)];
  const taken = pairs.find(([name]) => OURS.includes(name));
  if (taken) throw new TypeError(`the URL has the parameter ${taken[0]} already`);
  if (!(seconds > 0 && roundSeconds >= 1 && Math.max(seconds, roundSeconds) <= MOST_SECONDS)) {
    const words = "seconds must be more than 0, roundSeconds 1 at least";
    throw new TypeError(`${words}, and neither more than ${MOST_SECONDS}`);
  }
  const expires = Math.ceil((now + seconds) / roundSeconds) * roundSeconds;
  const added = [["account", account], ["expires", String(expires)]];
  const signature = await makeSignature(secret, path[0], [...pairs, ...added]);
  const signed = new URLSearchParams([...added, ["signature", signature]]);
  return `${head}?${query}${query && "&"}${signed}`;
}

async function makeSignature(secret, path, pairs) {
  const segments = path.split("/").map((segment) => quote(decode(segment)));
  const quoted = pairs.map(([name, value]) => [quote(name), quote(value)]);
  const sorted = quoted.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const lines = [segments.join("/"), ...sorted.map(([name, value]) => `${name}=${value}`)];
  const key = await hmac(encode(secret), encode(PURPOSE));
  const digest = new Uint8Array(await hmac(key, encode(lines.join("\n"))));
  const text = btoa(String.fromCharCode(...digest));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function hmac(key, data) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return crypto.subtle.sign(algorithm.name, imported, data);
}

/** As Python's unquote, for which a % that begins no letter is one itself. */
function decode(segment) {
  return new URLSearchParams("=" + segment.replace(/[+&]/g, encodeURIComponent)).get("");
}

/** As Python's quote: all but letters, digits and -._~ */
function quote(text) {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase(),
  );
}

function encode(text) {
  return new TextEncoder().encode(text);
}
