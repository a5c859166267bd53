import type { CopyColumn } from "../copy/copy-encoder.ts";
import type { DeadLetter } from "./batch.ts";

/** The columns of `timespan.dead_letters` that a batch fills, and how. */
export const deadLetterColumns = (topic: string, partition: number): readonly CopyColumn<DeadLetter>[] => [
  { name: "topic", write: (to) => to.text(topic) },
  { name: "partition", write: (to) => to.int4(partition) },
  { name: "source_offset", write: (to, { source }) => to.int8(source.offset) },
  { name: "source_index", write: (to, { source }) => to.int4(source.index) },
  { name: "reason", write: (to, { rejection }) => to.text(rejection.reason) },
  { name: "detail", write: (to, { rejection }) => to.text(rejection.detail) },
  { name: "payload", write: (to, { payload }) => (payload === null ? to.null() : to.bytea(payload)) },
];
