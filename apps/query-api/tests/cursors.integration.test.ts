import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Clock, systemClock } from "@timespan/runtime/clock";
import { LOG_SORTS } from "@timespan/telemetry/api/log-item";
import { problem } from "@timespan/telemetry/api/problem";
import { SPAN_SORTS } from "@timespan/telemetry/api/span-item";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { logEvent, spanEvent, uniqueName } from "@timespan/testing/events";
import { testEngines } from "@timespan/testing/test-environment";
import { type AnswerBody, minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const BASE_US = minutesAgo(10) * 1_000;
/** Each time occurs five times over, and every third is a microsecond later. */
const collidingTime = (n: number) =>
  formatTimestamp(BASE_US + Math.floor(n / 5) * 1_000 + (n % 3 === 0 ? 1 : 0));

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`a cursor on ${engine}`, () => {
    let api: TestApi;
    let offsetMs = 0;
    const clock: Clock = { ...systemClock, nowMs: () => Date.now() + offsetMs };
    beforeAll(async () => {
      api = await startTestApi(engine, { clock });
    });
    afterAll(() => api?.close());

    /** Follows the cursors to the end; `between` runs after each page. */
    async function walk(path: string, between?: (page: number) => Promise<void>) {
      const items: AnswerBody["items"] = [];
      let cursor: string | null = null;
      for (let page = 1; ; page++) {
        const { status, body } = await api.get(`${path}${cursor === null ? "" : `&cursor=${cursor}`}`);
        expect(status).toBe(200);
        expect(body.page).toBe(page);
        items.push(...body.items);
        cursor = body.next_cursor;
        if (cursor === null) return items;
        expect(body.items.length).toBe(body.size);
        expect(page).toBeLessThan(1_000);
        await between?.(page);
      }
    }

    test.each(SPAN_SORTS)("walks spans in %s without repeat or gap while spans arrive", async (sort) => {
      const service_name = uniqueName("walk");
      const span = (n: number) =>
        spanEvent({
          service_name,
          timestamp: collidingTime(n),
          duration_ms: n % 4,
          name: `initial ${n}`,
          parent_span_id: null,
        });
      await api.store(Array.from({ length: 100 }, (_, n) => span(n)));
      const path = `/query/spans?service_name=${service_name}&sort=${sort}&size=7`;
      const whole = (await api.get(path.replace("size=7", "size=1000"))).body.items;
      const items = await walk(path, async (page) => {
        const fields = { service_name, name: `arrived ${page}` };
        await api.store([
          spanEvent({ ...fields, timestamp: formatTimestamp(Date.now() * 1_000), duration_ms: 3 }),
          spanEvent({ ...fields, timestamp: collidingTime(page * 7), duration_ms: page % 4 }),
          spanEvent({ ...fields, timestamp: formatTimestamp(BASE_US - 1_000_000), duration_ms: 0 }),
        ]);
      });
      const ids = items.map((item) => item.span_id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(items.filter((item) => item.name.startsWith("initial"))).toEqual(whole);
    });

    test.each(LOG_SORTS)("walks logs in order %s without repeat or gap while logs arrive", async (sort) => {
      const service_name = uniqueName("walk");
      await api.store(
        Array.from({ length: 100 }, (_, n) =>
          logEvent({ service_name, timestamp: collidingTime(n), message: `initial ${n}` }),
        ),
      );
      const path = `/query/logs?service_name=${service_name}&sort=${sort}&size=9`;
      const whole = (await api.get(path.replace("size=9", "size=1000"))).body.items;
      const items = await walk(path, async (page) => {
        await api.store([
          logEvent({ service_name, timestamp: collidingTime(page * 9), message: `arrived ${page}` }),
          logEvent({
            service_name,
            timestamp: formatTimestamp(Date.now() * 1_000),
            message: `arrived ${page}`,
          }),
        ]);
      });
      const messages = items.map((item) => item.message);
      expect(items.filter((item) => item.message.startsWith("initial"))).toEqual(whole);
      expect(messages.filter((message) => message.startsWith("initial"))).toHaveLength(100);
    });

    test("keeps the window that a relative time meant on the first page", async () => {
      const service_name = uniqueName("window");
      await api.store(
        Array.from({ length: 6 }, (_, n) =>
          logEvent({
            service_name,
            timestamp: formatTimestamp(minutesAgo(14 - n) * 1_000),
            message: String(n),
          }),
        ),
      );
      for (const query of ["", "&from=now-15m&to=now", "&from=now-15m"]) {
        const items = await walk(`/query/logs?service_name=${service_name}&size=2${query}`, async () => {
          offsetMs += 10 * 60_000;
        });
        offsetMs = 0;
        expect(items.map(({ message }) => message)).toEqual(["5", "4", "3", "2", "1", "0"]);
      }
    });

    test("may change the size of pages on the way", async () => {
      const service_name = uniqueName("size");
      await api.store(
        Array.from({ length: 10 }, (_, n) => spanEvent({ service_name, timestamp: collidingTime(n) })),
      );
      const path = `/query/spans?service_name=${service_name}`;
      const whole = (await api.get(path)).body.items;
      const first = (await api.get(`${path}&size=3`)).body;
      const rest = (await api.get(`${path}&size=500&cursor=${first.next_cursor}`)).body;
      expect([...first.items, ...rest.items]).toEqual(whole);
      expect(rest).toMatchObject({ total: 10, total_relation: "eq", page: 2, size: 500, next_cursor: null });
    });

    test("goes on from a page that was asked for by number", async () => {
      const service_name = uniqueName("number");
      await api.store(
        Array.from({ length: 9 }, (_, n) => spanEvent({ service_name, timestamp: collidingTime(n) })),
      );
      const path = `/query/spans?service_name=${service_name}&size=3`;
      const whole = (await api.get(path.replace("size=3", "size=50"))).body.items;
      const second = (await api.get(`${path}&page=2`)).body;
      const third = (await api.get(`${path}&cursor=${second.next_cursor}`)).body;
      expect([...second.items, ...third.items]).toEqual(whole.slice(3));
      expect(third).toMatchObject({ page: 3, next_cursor: null });
    });

    test("of other filters, another sort, another list or another window is a clean 400", async () => {
      const service_name = uniqueName("foreign");
      await api.store(
        Array.from({ length: 5 }, () => spanEvent({ service_name, timestamp: collidingTime(0) })),
      );
      const { next_cursor } = (
        await api.get(`/query/spans?service_name=${service_name}&size=2&label.region=eu`)
      ).body;
      expect(next_cursor).toBeString();
      for (const path of [
        `/query/spans?service_name=${service_name}`,
        `/query/spans?service_name=${service_name}&label.region=us`,
        `/query/spans?service_name=${service_name}&label.zone=eu`,
        `/query/spans?service_name=other&label.region=eu`,
        `/query/spans?service_name=${service_name}&label.region=eu&sort=start_time_asc`,
        `/query/spans?service_name=${service_name}&label.region=eu&from=now-1h`,
        `/query/logs?service_name=${service_name}&label.region=eu`,
      ]) {
        const { status, body } = await api.get(`${path}&cursor=${next_cursor}`);
        expect(status).toBe(400);
        expect(problem.parse(body).errors).toEqual([
          { name: "cursor", reason: expect.stringContaining("another query") },
        ]);
      }
      const same = `/query/spans?label.region=eu&size=1&service_name=${service_name}&sort=start_time_desc`;
      expect((await api.get(`${same}&cursor=${next_cursor}`)).status).toBe(200);
    });

    test("with its position forged still only ever gives rows of the query, or a clean 400", async () => {
      const service_name = uniqueName("forged");
      await api.store(
        Array.from({ length: 5 }, () => spanEvent({ service_name, timestamp: collidingTime(0) })),
      );
      for (const sort of SPAN_SORTS) {
        const path = `/query/spans?service_name=${service_name}&size=2&sort=${sort}`;
        const { next_cursor } = (await api.get(path)).body;
        const fields: unknown[] = JSON.parse(Buffer.from(next_cursor ?? "", "base64url").toString());
        const extremes = [0, 1, -1, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1e300, null, "1", "'; --", true, [], {}];
        for (let index = 2; index < fields.length; index++) {
          for (const extreme of extremes) {
            const forged = Buffer.from(JSON.stringify(fields.with(index, extreme))).toString("base64url");
            const { status, body } = await api.get(`${path}&cursor=${forged}`);
            expect([200, 400]).toContain(status);
            for (const item of body.items ?? []) expect(item.service_name).toBe(service_name);
          }
        }
      }
    });

    test("leads beyond 10,000, where totals and page numbers end", async () => {
      const [exact, more] = [uniqueName("exact"), uniqueName("more")];
      const spans = (service_name: string, count: number) =>
        Array.from({ length: count }, (_, n) =>
          spanEvent({ service_name, timestamp: collidingTime(n), name: String(n) }),
        );
      await api.store(spans(exact, 10_000));
      await api.store(spans(more, 10_050));
      expect((await api.get(`/query/spans?service_name=${exact}`)).body).toMatchObject({
        total: 10_000,
        total_relation: "eq",
      });
      const path = `/query/spans?service_name=${more}`;
      expect((await api.get(path)).body).toMatchObject({ total: 10_000, total_relation: "gte" });
      expect((await api.get(`${path}&page=200`)).body).toMatchObject({
        page: 200,
        total: 10_000,
        total_relation: "gte",
      });
      const refused = await api.get(`${path}&page=201`);
      expect(refused.status).toBe(400);
      expect(problem.parse(refused.body).errors?.[0]?.reason).toContain("next_cursor");
      const items = await walk(`${path}&size=1000`);
      expect(new Set(items.map(({ name }) => name)).size).toBe(10_050);
      const last = (await api.get(`${path}&size=1000&page=10`)).body;
      expect((await api.get(`${path}&size=1000&cursor=${last.next_cursor}`)).body).toMatchObject({
        page: 11,
        total: 10_000,
        total_relation: "gte",
        next_cursor: null,
      });
    });
  });
}
