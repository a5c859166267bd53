/** What is sent to clients: made once, whoever gets it, and written as the transport wants it. */
export class Frame {
  readonly event: string;
  /** Where a client is that has it, for frames that move it on. */
  readonly id: string | undefined;
  /** JSON. */
  readonly data: string;
  /** As a WebSocket text frame. A plain field, as it is read for every client. */
  readonly text: string;
  #serverSentEvent: string | undefined;
  #utf8: Uint8Array | undefined;
  #bytes: number | undefined;

  constructor(event: string, data: string, id?: string) {
    this.event = event;
    this.data = data;
    this.id = id;
    this.text =
      id === undefined
        ? `{"event":"${event}","data":${data}}`
        : `{"event":"${event}","id":"${id}","data":${data}}`;
  }

  /** As a block of an event stream. JSON has no line breaks, so one `data` line holds it. */
  get serverSentEvent(): string {
    this.#serverSentEvent ??= `${this.id === undefined ? "" : `id: ${this.id}\n`}event: ${this.event}\ndata: ${this.data}\n\n`;
    return this.#serverSentEvent;
  }

  /** {@link text} as bytes, for an engine that would encode a string anew for each client. */
  get utf8(): Uint8Array {
    this.#utf8 ??= Buffer.from(this.text);
    return this.#utf8;
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
