import { type Clock, systemClock } from "@timespan/runtime/clock";

/** What a person sees while the stack works. */
export interface Progress {
  /** What is going on now; replaces the line before where the output is a terminal. */
  update(line: string): void;
  /** A line that stays. */
  report(line: string): void;
  /** Takes the current progress line away. */
  clear(): void;
}

export interface ProgressOutput {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** Where lines cannot be replaced, a stage that goes on is mentioned again only after this long. */
const REPEAT_INTERVAL_MS = 15_000;

const CLEAR_LINE = "\r\x1b[2K";

/** One line that is rewritten in place on a terminal; plain lines, and few of them, everywhere else. */
export function createProgressLine(output: ProgressOutput, clock: Clock = systemClock): Progress {
  return output.isTTY ? terminalProgress(output) : plainProgress(output, clock);
}

function terminalProgress(output: ProgressOutput): Progress {
  let current = "";
  const draw = () => {
    if (current === "") return;
    const width = (output.columns ?? 80) - 3;
    output.write(`${CLEAR_LINE}… ${current.length > width ? `${current.slice(0, width - 1)}…` : current}`);
  };
  return {
    update(line) {
      current = line;
      draw();
    },
    report(line) {
      output.write(`${current === "" ? "" : CLEAR_LINE}${line}\n`);
      draw();
    },
    clear() {
      if (current !== "") output.write(CLEAR_LINE);
      current = "";
    },
  };
}

function plainProgress(output: ProgressOutput, clock: Clock): Progress {
  let stage = "";
  let saidMs = 0;
  return {
    update(line) {
      // "…, 3 s" and "…, 4 s" are the same stage.
      const lineStage = line.replace(/\d+/g, "#");
      if (lineStage === stage && clock.nowMs() - saidMs < REPEAT_INTERVAL_MS) return;
      stage = lineStage;
      saidMs = clock.nowMs();
      output.write(`… ${line}\n`);
    },
    report(line) {
      output.write(`${line}\n`);
    },
    clear() {
      stage = "";
    },
  };
}
