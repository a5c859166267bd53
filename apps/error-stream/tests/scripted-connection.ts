import type { Frame } from "../src/frame.ts";
import type { Connection } from "../src/subscriber.ts";

/** A socket that takes as many frames as the test lets it. */
export class ScriptedConnection implements Connection {
  readonly frames: { event: string; id?: string; data: Record<string, unknown> }[] = [];
  /** How many more frames it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  sends = 0;
  closed: [code: number, reason: string] | undefined;

  send(frames: readonly Frame[], start: number): number {
    this.sends++;
    let taken = 0;
    while (start + taken < frames.length && this.room > 0) {
      this.frames.push(JSON.parse(frames[start + taken]?.text ?? ""));
      taken++;
      this.room--;
    }
    return taken;
  }

  congested(): boolean {
    return this.room <= 0;
  }

  close(code: number, reason: string): void {
    this.closed = [code, reason];
  }

  /** The messages of errors, and the counts of what was dropped. */
  get received(): unknown[] {
    return this.frames.map(({ event, data }) =>
      event === "error-log" ? data.message : event === "dropped" ? data.count : event,
    );
  }
}
