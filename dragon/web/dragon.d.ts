/** How a task is. Each task's last status is `success` or `error`. */
export interface Status<Result = any> {
  status: "queued" | "executing" | "success" | "error";
  /** 26 capital letters and digits: whoever has it may read the task's statuses and files. */
  key: string;
  /** How far the task is, if it tells. */
  progress?: any;
  /** What the task gives; while it executes, what there is so far. */
  result?: Result;
  /** What went wrong: words, or each parameter with its problems. */
  error?: string | { parameters: Record<string, string[]> };
  /** Dates in ISO 8601. */
  events: { queued: string; started?: string; completed?: string };
}

/** Which task, and its parameters beside it. */
export interface Definition {
  task_name: string;
  task_metas?: unknown;
  task_store?: { type: string; [name: string]: unknown };
  [parameter: string]: unknown;
}

/** A key, or a status that has one. */
export type Task = string | Pick<Status, "key">;

/** One thing that is wrong with a request. */
export interface Problem {
  name: string;
  location: "body" | "query" | "path" | "header";
  description: string;
}

export interface DragonOptions {
  /** The server's address; by default where this module came from. */
  url?: string | URL;
  /** For pages that the account lists. */
  apiKey?: string;
  /** For programs, never for pages. */
  secret?: string;
  /** After how many failures in a row to give up, 20 by default: some four minutes. */
  attempts?: number;
}

export interface RequestOptions {
  /** Ends the request, or the iteration, with the signal's reason. */
  signal?: AbortSignal;
}

export interface CreateOptions extends RequestOptions {
  /** Requests with the same key create their tasks once; by default each call has its own. */
  idempotencyKey?: string;
}

/** Why it cannot be done, in the server's words where it said any. */
export class DragonError extends Error {
  constructor(
    message: string,
    about?: { status?: number; errors?: Problem[]; retryAfter?: number; cause?: unknown },
  );
  /** That of HTTP, 0 where no server answered. */
  readonly status: number;
  /** All that is wrong with the request, where the server has a list. */
  readonly errors: Problem[];
  /** Seconds to wait before asking again, 0 where the server names none. */
  readonly retryAfter: number;
}

export class Dragon {
  constructor(options?: DragonOptions);
  /** Queue tasks; their first statuses, in order. Sent again after a lost answer, it creates nothing twice. */
  create(tasks: Definition | readonly Definition[], options?: CreateOptions): Promise<Status[]>;
  /** How tasks are now, in order. */
  status(tasks: Task | readonly Task[], options?: RequestOptions): Promise<Status[]>;
  /** End tasks, those that run, too; their statuses, in order. */
  cancel(tasks: Task | readonly Task[], options?: RequestOptions): Promise<Status[]>;
  /** Where a task's file is, also before it is made: whoever asks for it waits. */
  fileURL(task: Task, filename?: string): string;
  /**
   * Each task's status, now and as it changes, until all have ended. Connects again by itself;
   * tells each final status once. A task that is unknown or has expired ends with `error`.
   */
  follow(
    tasks: Task | readonly Task[],
    options?: RequestOptions,
  ): AsyncGenerator<Status, void, undefined>;
}
