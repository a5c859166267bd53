import type { TimeUs } from "@timespan/telemetry/timestamp";
import type { CopyColumn } from "../copy/copy-encoder.ts";
import { EncodedRows } from "../copy/encoded-rows.ts";
import type { Source } from "./batch.ts";

/** The rows of a batch that go to one table, encoded, and what is still to be known of each. */
export class BatchRows<Row extends { source: Source }> {
  readonly encoded: EncodedRows<Row>;
  readonly #offsets: number[] = [];
  readonly #indexes: number[] = [];
  readonly #timesUs: TimeUs[] = [];
  /** The positions of each service's rows. */
  readonly #byService = new Map<string, number[]>();

  constructor(
    readonly table: string,
    columns: readonly CopyColumn<Row>[],
  ) {
    this.encoded = new EncodedRows(columns);
  }

  get length(): number {
    return this.encoded.length;
  }

  push(row: Row, serviceName: string, timeUs: TimeUs): void {
    const position = this.encoded.length;
    this.encoded.push(row);
    this.#offsets.push(row.source.offset);
    this.#indexes.push(row.source.index);
    this.#timesUs.push(timeUs);
    const ofService = this.#byService.get(serviceName);
    if (ofService === undefined) this.#byService.set(serviceName, [position]);
    else ofService.push(position);
  }

  sourceOf(position: number): Source {
    return { offset: this.#offsets[position] ?? 0, index: this.#indexes[position] ?? 0 };
  }

  /**
   * The positions of all rows in the order in which they are to be copied: one service's rows stand together, oldest
   * first, so that few pages of the index are touched, and chunks compress better.
   */
  sorted(): number[] {
    const timesUs = this.#timesUs;
    const timeUs = (position: number) => timesUs[position] ?? 0;
    return [...this.#byService.keys()]
      .sort()
      .flatMap((service) => this.#byService.get(service)?.toSorted((a, b) => timeUs(a) - timeUs(b)) ?? []);
  }
}
