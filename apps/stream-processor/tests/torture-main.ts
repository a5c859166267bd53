/** `bun run torture [--minutes N] [--seed N] [--rate N]`: the torture test for as long as one likes. */
import { parseArgs } from "node:util";
import { torture } from "./torture.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    rate: { type: "string", default: "2000" },
  },
});
const result = await torture({
  seconds: Number(values.minutes) * 60,
  seed: Number(values.seed),
  eventsPerSecond: Number(values.rate),
  log: (line) => console.log(line),
});
console.log({ seed: Number(values.seed), ...result });
const { lost, doubled, invented, wrongDeadLetters, errorsNotForwarded, acknowledgedNotInKafka } = result;
const wrong = lost + doubled + invented + wrongDeadLetters + errorsNotForwarded + acknowledgedNotInKafka;
console.log(wrong === 0 ? "Nothing lost, nothing twice." : `${wrong} violations.`);
process.exit(wrong === 0 ? 0 : 1);
