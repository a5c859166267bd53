/** What is sent to clients: made once, whoever gets it, and written as the transport wants it. */
export class Frame {
  readonly event: string;
  /** Where a client is that has it, for frames that move it on. */
  readonly id: string | undefined;
  /** JSON. */
  readonly data: string;
  #text: string | undefined;
  #serverSentEvent: string | undefined;
  #bytes: number | undefined;

  constructor(event: string, data: string, id?: string) {
    this.event = event;
    this.data = data;
    this.id = id;
  }

  /** As a WebSocket text frame. */
  get text(): string {
    this.#text ??=
      this.id === undefined
        ? `{"event":"${this.event}","data":${this.data}}`
        : `{"event":"${this.event}","id":"${this.id}","data":${this.data}}`;
    return this.#text;
  }

  /** As a block of an event stream. JSON has no line breaks, so one `data` line holds it. */
  get serverSentEvent(): string {
    this.#serverSentEvent ??= `${this.id === undefined ? "" : `id: ${this.id}\n`}event: ${this.event}\ndata: ${this.data}\n\n`;
    return this.#serverSentEvent;
  }

  /** Length in UTF-8, of either form to within a few bytes. */
  get bytes(): number {
    this.#bytes ??= Buffer.byteLength(this.text);
    return this.#bytes;
  }
}

/** Only events may be dropped, never what is said about them. */
export const ERROR_LOG = "error-log";

export const droppedFrame = (count: number) => new Frame("dropped", JSON.stringify({ count }));

export interface Problem {
  name: string;
  reason: string;
}

export const errorFrame = (detail: string, errors: readonly Problem[] = []) =>
  new Frame("error", JSON.stringify({ detail, ...(errors.length > 0 ? { errors } : {}) }));

/** Says that what was asked for reaches further back than what can be replayed. */
export const incompleteFrame = (detail: string, keptFrom: string | null) =>
  new Frame("incomplete", JSON.stringify({ detail, kept_from: keptFrom }));
