import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "@timespan/runtime/clock";
import { closeDatabase } from "@timespan/store/database";
import { observePartitions } from "@timespan/store/ingest/observe-partitions";
import { endpointList } from "@timespan/telemetry/api/endpoint-list";
import { endpointTraceList } from "@timespan/telemetry/api/endpoint-trace-list";
import { metricSeriesList } from "@timespan/telemetry/api/metric-series";
import { serviceList } from "@timespan/telemetry/api/service-list";
import { RELATIVE_ERROR_MAX } from "@timespan/telemetry/duration-bin";
import { formatTimestamp } from "@timespan/telemetry/timestamp";
import { spanEvent } from "@timespan/testing/events";
import { openAsSuperuser } from "@timespan/testing/test-database";
import { testEngines } from "@timespan/testing/test-environment";
import type { SpanEvent } from "@timespan/testing/workload/events";
import { createRandom } from "@timespan/testing/workload/random";
import { refreshRollups } from "./refresh-rollups.ts";
import { count, errorRate, exactQuantile, inEnvironment, requestsOf, timeUs } from "./requests-oracle.ts";
import { minutesAgo, startTestApi, type TestApi } from "./test-api.ts";

const NOW_MS = Math.floor(minutesAgo(30) / 60_000) * 60_000 + 34_567;
/** The default window ends at the last whole ten seconds. */
const DEFAULT_END_US = (NOW_MS - (NOW_MS % 10_000)) * 1_000;
const HOURS = 6;
const SPAN_COUNT = 4_000;
const ODD_ENDPOINT = "GET /kühl/%2F/日本?#a b";

/** Spans of three services over six hours, denser towards the end; one service has no requests, one endpoint is rare and slow. */
function workload(): SpanEvent[] {
  const random = createRandom(5, 1);
  const pick = <T>(values: readonly T[]) => values[Math.floor(random.next() * values.length)] as T;
  const events = Array.from({ length: SPAN_COUNT }, () => {
    const agoUs = Math.floor(random.next() ** 3 * HOURS * 3_600e6);
    const kind = pick(["SERVER", "SERVER", "SERVER", "CLIENT", "INTERNAL"] as const);
    return spanEvent({
      timestamp: formatTimestamp(NOW_MS * 1_000 - 1 - agoUs),
      service_name: pick(["cart", "payment", "search"]),
      environment: pick(["prod", "prod", "staging"]),
      kind,
      http_method: undefined as never,
      http_path: undefined as never,
      name: pick(["GET /a", "GET /b/c", "POST /a"]),
      status: pick(["OK", "OK", "OK", "UNSET", "ERROR"] as const),
      duration_ms: Math.max(1, Math.round(20_000 * random.latencyFactor())) / 1_000,
      labels: random.next() < 0.1 ? { sample_rate: 8 } : {},
    });
  });
  const odd = (fields: Partial<SpanEvent>) =>
    spanEvent({
      http_method: undefined as never,
      http_path: undefined as never,
      timestamp: formatTimestamp(NOW_MS * 1_000 - 100e6),
      ...fields,
    });
  return [
    ...events,
    odd({ service_name: "cart", name: ODD_ENDPOINT, duration_ms: 9_000 }),
    odd({ service_name: "cart", name: "other", duration_ms: 8_000, status: "ERROR", environment: "staging" }),
    odd({ service_name: "worker", kind: "CONSUMER" }),
    odd({ service_name: "100%_odd", duration_ms: 0 }),
  ];
}

const near = (shown: number | null | undefined, exact: number | null) => {
  if (exact === null || shown === null || shown === undefined) return expect(shown).toBe(exact as null);
  expect(Math.abs(shown - exact)).toBeLessThanOrEqual(exact * RELATIVE_ERROR_MAX * 1.000_001);
};

for (const { engine, present } of testEngines()) {
  describe.skipIf(!present)(`requests on ${engine}`, () => {
    let api: TestApi;
    const events = workload();
    beforeAll(async () => {
      api = await startTestApi(engine, { clock: { ...systemClock, nowMs: () => NOW_MS } });
      await api.store(events);
      await refreshRollups(api.url, engine, NOW_MS - 40 * 60_000);
    });
    afterAll(() => api?.close());

    const ask = async (path: string) => {
      const { status, text } = await api.get(path);
      expect({ path, status, text: status === 200 ? "" : text }).toEqual({ path, status: 200, text: "" });
      return JSON.parse(text);
    };
    const minutes = (length: number) => ({ fromUs: DEFAULT_END_US - length * 60e6, toUs: DEFAULT_END_US });
    const of = (service: string) => (event: SpanEvent) => event.service_name === service;

    test.each([
      ["", minutes(15), undefined],
      ["?from=now-6h", minutes(360), undefined],
      ["?from=now-1h&environment=prod", minutes(60), "production"],
      [
        "?from=now-3h&to=now-17m",
        { fromUs: DEFAULT_END_US - 180 * 60e6, toUs: DEFAULT_END_US - 17 * 60e6 },
        undefined,
      ],
      [
        `?from=${NOW_MS - 7_654_321}&to=${NOW_MS - 1_234_567}`,
        { fromUs: (NOW_MS - 7_654_321) * 1_000, toUs: (NOW_MS - 1_234_567) * 1_000 },
        undefined,
      ],
    ])(
      "/query/services%s lists the services of the window, also those without requests",
      async (query, window, environment) => {
        const answer = serviceList.parse(await ask(`/query/services${query}`));
        expect(answer).toMatchObject({
          from: formatTimestamp(window.fromUs),
          to: formatTimestamp(window.toUs),
          environment: environment ?? "all",
        });
        const matches = environment === undefined ? () => true : inEnvironment(environment);
        const inWindow = events.filter(
          (e) => timeUs(e) >= window.fromUs && timeUs(e) < window.toUs && matches(e),
        );
        expect(answer.services.map(({ service_name }) => service_name).sort()).toEqual(
          [...new Set(inWindow.map(({ service_name }) => service_name))].sort(),
        );
        for (const service of answer.services) {
          const requests = requestsOf(
            events,
            window,
            (e) => matches(e) && e.service_name === service.service_name,
          );
          expect(service).toMatchObject({
            environment: environment ?? "all",
            request_count: count(requests),
            error_rate: errorRate(requests),
            throughput_per_second: (count(requests) * 1e6) / (window.toUs - window.fromUs),
          });
          near(service.latency_p50_ms, exactQuantile(requests, 0.5));
          near(service.latency_p95_ms, exactQuantile(requests, 0.95));
          near(service.latency_p99_ms, exactQuantile(requests, 0.99));
        }
      },
    );

    test.each(["request_count", "latency_p95_ms", "error_rate"] as const)(
      "sort_by=%s sorts services and endpoints before the limit",
      async (sort) => {
        for (const [path, list] of [
          ["/query/services?from=now-6h&limit=100", "services"],
          ["/query/services/cart/endpoints?from=now-6h&limit=100", "endpoints"],
        ] as const) {
          const all = (await ask(`${path}&sort_by=${sort}`))[list] as Record<string, number | null>[];
          const values = all.map((item) => item[sort] ?? -1);
          expect(values).toEqual(values.toSorted((a, b) => b - a));
          expect((await ask(`${path.replace("100", "1")}&sort_by=${sort}`))[list]).toEqual(all.slice(0, 1));
        }
      },
    );

    test("environment=all is what answers call it: every environment", async () => {
      for (const path of [
        "/query/services",
        "/query/services/cart/metrics",
        "/query/services/cart/endpoints",
      ]) {
        expect(await ask(`${path}?from=now-2h&environment=all`)).toEqual(await ask(`${path}?from=now-2h`));
      }
    });

    test("complete_through says up to when everything that reached Kafka is counted, at most the window's end", async () => {
      const through = async (query: string) => {
        const answers = await Promise.all(
          [
            "/query/services",
            "/query/services/cart/endpoints",
            "/query/services/cart/metrics?interval=1h",
          ].map((path) => ask(`${path}${path.includes("?") ? "&" : "?"}${query}`)),
        );
        const [all, endpoints, [series]] = answers;
        expect([endpoints.complete_through, series.complete_through]).toEqual([
          all.complete_through,
          all.complete_through,
        ]);
        return all.complete_through;
      };
      const future = `from=now-1h&to=${Date.now() + 3_600_000}`;
      expect(await through(future)).toBeNull();

      const partition = { topic: "query-api-tests", partition: 0 };
      const observe = (highWatermark: number) =>
        observePartitions(api.writer, [{ ...partition, highWatermark }]);
      const beforeMs = Date.now();
      await observe(0);
      const seen = await through(future);
      expect(Date.parse(seen)).toBeGreaterThanOrEqual(beforeMs - 1);
      expect(Date.parse(seen)).toBeLessThanOrEqual(Date.now() + 1);
      expect(await through("from=now-1h&to=now-1m")).toBe(formatTimestamp(DEFAULT_END_US - 60e6));

      // Records wait: what reached Kafka since shortly before they were seen may be among them.
      await observe(10_000_000);
      const behind = await through(future);
      await observe(10_000_001);
      expect(await through(future)).toBe(behind);
      expect(Date.parse(behind)).toBeLessThan(Date.parse(seen));
    });

    test("name_filter finds by a part of the name, in any case, no character special", async () => {
      const names = async (filter: string) =>
        (await ask(`/query/services?from=now-6h&name_filter=${encodeURIComponent(filter)}`)).services.map(
          (service: { service_name: string }) => service.service_name,
        );
      expect(await names("AR")).toEqual(expect.arrayContaining(["cart", "search"]));
      expect(await names("0%_o")).toEqual(["100%_odd"]);
      expect(await names("%")).toEqual(["100%_odd"]);
      expect(await names("c_rt")).toEqual([]);
    });

    test("endpoints: the slowest rare one is found, of the last hour unless told otherwise", async () => {
      const answer = endpointList.parse(
        await ask("/query/services/cart/endpoints?sort_by=latency_p95_ms&limit=1"),
      );
      expect(answer).toMatchObject({
        service_name: "cart",
        environment: "all",
        from: formatTimestamp(DEFAULT_END_US - 3_600e6),
        to: formatTimestamp(DEFAULT_END_US),
      });
      expect(answer.endpoints).toMatchObject([
        {
          endpoint_name: "GET /kühl/%2F/日本",
          service_name: "cart",
          request_count: 1,
          latency_p95_ms: 9_000,
        },
      ]);
      expect((await ask("/query/services/cart/endpoints?metric=latency_p95_ms&limit=1")).endpoints).toEqual(
        answer.endpoints,
      );
      const all = endpointList.parse(
        await ask("/query/services/cart/endpoints?environment=production&limit=50"),
      );
      for (const endpoint of all.endpoints.filter(({ endpoint_name }) => !endpoint_name.includes("kühl"))) {
        const requests = requestsOf(
          events,
          minutes(60),
          (e) =>
            e.service_name === "cart" && inEnvironment("production")(e) && e.name === endpoint.endpoint_name,
        );
        expect(endpoint.request_count).toBe(count(requests));
        expect(endpoint.error_rate).toBe(errorRate(requests));
        near(endpoint.latency_p95_ms, exactQuantile(requests, 0.95));
      }
      expect((await ask("/query/services/nobody/endpoints")).endpoints).toEqual([]);
      expect((await ask("/query/services/worker/endpoints")).endpoints).toEqual([]);
    });

    test("metrics: every metric, point by point, as the contract words them", async () => {
      const series = metricSeriesList.parse(await ask("/query/services/cart/metrics"));
      expect(series.map(({ metric_name }) => metric_name)).toEqual([
        "http_requests_total",
        "error_rate",
        "latency_p50_ms",
        "latency_p90_ms",
        "latency_p95_ms",
        "latency_p99_ms",
      ]);
      for (const { metric_name, points, service_name, environment, interval_seconds } of series) {
        expect({ service_name, environment, interval_seconds }).toEqual({
          service_name: "cart",
          environment: "all",
          interval_seconds: 10,
        });
        expect(points).toHaveLength(90);
        for (const [n, { timestamp, value }] of points.entries()) {
          const fromUs = DEFAULT_END_US - 900e6 + n * 10e6;
          expect(timestamp).toBe(formatTimestamp(fromUs));
          const requests = requestsOf(events, { fromUs, toUs: fromUs + 10e6 }, of("cart"));
          if (metric_name === "http_requests_total") expect(value).toBe(count(requests));
          else if (metric_name === "error_rate") expect(value).toBe(errorRate(requests));
          else near(value, exactQuantile(requests, Number(metric_name.slice(9, 11)) / 100));
        }
      }
    });

    test("metrics: of a service that does not exist there are none, of one without requests they are empty", async () => {
      expect(await ask("/query/services/nobody/metrics")).toEqual([]);
      const [total, , p50] = metricSeriesList.parse(await ask("/query/services/worker/metrics"));
      expect(new Set(total?.points.map(({ value }) => value))).toEqual(new Set([0]));
      expect(new Set(p50?.points.map(({ value }) => value))).toEqual(new Set([null]));
    });

    test.each([
      ["15m", 10],
      ["30m", 30],
      ["31m", 60],
      ["2h", 60],
      ["6h", 300],
      ["24h", 600],
      ["25h", 1_800],
      ["400d", 1_800],
    ])("metrics: the default interval of a window of %s is %d s", async (length, seconds) => {
      const [series] = metricSeriesList.parse(
        await ask(`/query/services/cart/metrics?metric=http_requests_total&from=now-${length}`),
      );
      expect(series?.interval_seconds).toBe(seconds);
      const times = series?.points.map(({ timestamp }) => Date.parse(timestamp) / 1_000) ?? [];
      for (const [n, time] of times.entries()) {
        expect(time % seconds).toBe(0);
        if (n > 0) expect(time - (times[n - 1] ?? 0)).toBe(seconds);
      }
    });

    test("has no seam: a series adds up to its total and to the raw spans, at every interval and window", async () => {
      const random = createRandom(11, 1);
      for (let round = 0; round < 60; round++) {
        const toUs = NOW_MS * 1_000 - Math.floor(random.next() ** 2 * 3 * 3_600e6);
        const lengthUs = 1e6 + Math.floor(random.next() ** 2 * 7 * 3_600e6);
        // Half of the windows end on whole minutes, or nearly.
        const unit = [1, 60e6, 3_600e6, 60e6 + 1][Math.floor(random.next() * 4)] ?? 1;
        const window = {
          fromUs: Math.floor((toUs - lengthUs) / unit) * unit,
          toUs: Math.ceil(toUs / unit) * unit,
        };
        const intervals = ["7s", "10s", "45s", "1m", "90s", "5m", "10m", "30m", "1h", "2h", "1d"];
        const interval = intervals[Math.floor(random.next() * intervals.length)];
        const service = ["cart", "payment"][round % 2] ?? "cart";
        const environment = random.next() < 0.5 ? "&environment=staging" : "";
        const query = `from=${formatTimestamp(window.fromUs)}&to=${formatTimestamp(window.toUs)}${environment}`;

        const metrics = metricSeriesList.parse(
          await ask(`/query/services/${service}/metrics?${query}&interval=${interval}`),
        );
        const [series, errors] = metrics;
        const sum = series?.points.reduce((total, { value }) => total + (value ?? 0), 0) ?? 0;
        const errorCount =
          series?.points.reduce(
            (total, { value }, n) => total + (value ?? 0) * (errors?.points[n]?.value ?? 0),
            0,
          ) ?? 0;
        const { services } = serviceList.parse(await ask(`/query/services?${query}`));
        const listed = services.find(({ service_name }) => service_name === service);
        const { endpoints } = endpointList.parse(
          await ask(`/query/services/${service}/endpoints?${query}&limit=1000`),
        );
        const requests = requestsOf(
          events,
          window,
          (e) => e.service_name === service && (environment === "" || inEnvironment("staging")(e)),
        );
        const all = { query, interval, count: count(requests) };
        expect({ query, interval, count: sum }).toEqual(all);
        expect({ query, interval, count: listed?.request_count ?? 0 }).toEqual(all);
        expect({
          query,
          interval,
          count: endpoints.reduce((total, e) => total + e.request_count, 0),
        }).toEqual(all);
        expect(errorCount).toBeCloseTo(count(requests.filter(({ status }) => status === "ERROR")), 6);
        near(listed?.latency_p95_ms ?? null, exactQuantile(requests, 0.95));
      }
    });

    test("the longest spans are found whether rollups know them or not, page by page", async () => {
      const longest = (matches: (event: SpanEvent) => boolean) =>
        events
          .filter(matches)
          .toSorted((a, b) => b.duration_ms - a.duration_ms || timeUs(b) - timeUs(a))
          .map(({ span_id }) => span_id);
      const from = (DEFAULT_END_US - 5 * 3_600e6) / 1_000;
      for (const [query, matches] of [
        ["", () => true],
        ["&service_name=cart", of("cart")],
        [
          "&kind=client&environment=prod",
          (e: SpanEvent) => e.kind === "CLIENT" && inEnvironment("production")(e),
        ],
        [`&from=${from}`, (e: SpanEvent) => timeUs(e) >= from * 1_000],
        ["&to=now-50m", (e: SpanEvent) => timeUs(e) < NOW_MS * 1_000 - 3_000e6],
        ["&service_name=cart&status=error", (e: SpanEvent) => of("cart")(e) && e.status === "ERROR"],
      ] as const) {
        const expected = longest(matches);
        const found: string[] = [];
        let cursor = "";
        for (let page = 0; page < 4; page++) {
          const answer = await ask(`/query/spans?sort=duration_desc&size=30${query}${cursor}`);
          found.push(...answer.items.map(({ span_id }: { span_id: string }) => span_id));
          expect(answer.total).toBe(expected.length);
          if (answer.next_cursor === null) break;
          cursor = `&cursor=${answer.next_cursor}`;
        }
        expect({ query, found }).toEqual({ query, found: expected.slice(0, 120) });
        const third = await ask(`/query/spans?sort=duration_desc&size=30&page=3${query}`);
        expect(third.items.map(({ span_id }: { span_id: string }) => span_id)).toEqual(
          expected.slice(60, 90),
        );
      }
    });

    const traces = (query: string) =>
      ask(`/query/services/cart/endpoints/${encodeURIComponent("GET /a")}/traces${query}`).then((answer) =>
        endpointTraceList.parse(answer),
      );
    const ofEndpoint = (window: { fromUs: number; toUs: number }) =>
      requestsOf(events, window, (e) => e.service_name === "cart" && e.name === "GET /a");

    test("endpoint traces: the newest, the newest that failed, of the window", async () => {
      const newest = ofEndpoint(minutes(15)).toSorted((a, b) => timeUs(b) - timeUs(a));
      expect((await traces("")).map(({ spanId }) => spanId)).toEqual(
        newest.slice(0, 20).map((e) => e.span_id),
      );
      const [first] = newest;
      expect((await traces("?limit=1"))[0]).toEqual({
        traceId: first?.trace_id ?? "",
        spanId: first?.span_id ?? "",
        timestamp: first?.timestamp ?? "",
        durationMs: first?.duration_ms ?? 0,
        status: first?.status ?? "OK",
        serviceName: "cart",
        environment: first?.environment === "prod" ? "production" : "staging",
      });
      const failed = ofEndpoint(minutes(360)).filter(({ status }) => status === "ERROR");
      expect((await traces("?from=now-6h&status=error&limit=1000")).map(({ spanId }) => spanId)).toEqual(
        failed.toSorted((a, b) => timeUs(b) - timeUs(a)).map((e) => e.span_id),
      );
    });

    test.each([50, 75, 90, 95, 99, 99.9, 100])(
      "endpoint traces: slow is at least the %dth percentile of the endpoint, exactly, the slowest first",
      async (percentile) => {
        for (const length of [15, 59, 360]) {
          const requests = ofEndpoint(minutes(length));
          const threshold = exactQuantile(requests, percentile / 100) ?? 0;
          const slow = requests
            .filter(({ duration_ms }) => duration_ms >= threshold)
            .toSorted((a, b) => b.duration_ms - a.duration_ms || timeUs(b) - timeUs(a))
            .map(({ span_id }) => span_id);
          for (const limit of [5, 1_000]) {
            const query = `?status=SLOW&slow_percentile=${percentile}&from=now-${length}m&limit=${limit}`;
            expect((await traces(query)).map(({ spanId }) => spanId)).toEqual(slow.slice(0, limit));
          }
        }
      },
    );

    test("endpoint traces: names with slashes, percent signs and unicode, also where a proxy unescaped the slashes", async () => {
      const name = "GET /kühl/%2F/日本";
      for (const path of [encodeURIComponent(name), encodeURIComponent(name).replaceAll("%2F", "/")]) {
        const found = endpointTraceList.parse(
          await ask(`/query/services/cart/endpoints/${path}/traces?status=SLOW`),
        );
        expect(found.map(({ durationMs }) => durationMs)).toEqual([9_000]);
      }
      expect(await ask("/query/services/cart/endpoints/nothing/traces")).toEqual([]);
      expect(await ask("/query/services/nobody/endpoints/GET%20%2Fa/traces?status=SLOW")).toEqual([]);
    });

    // Last: it takes rows away that rollups go on counting, as retention does.
    test("the longest spans are found when those that rollups know as longest are gone", async () => {
      const superuser = openAsSuperuser(api.url);
      await superuser`DELETE FROM timespan.spans WHERE duration_us > 30000`;
      await closeDatabase(superuser);
      const left = events
        .filter((event) => event.duration_ms <= 30)
        .toSorted((a, b) => b.duration_ms - a.duration_ms || timeUs(b) - timeUs(a));
      const { items } = await ask("/query/spans?sort=duration_desc&size=100");
      expect(items.map(({ span_id }: { span_id: string }) => span_id)).toEqual(
        left.slice(0, 100).map(({ span_id }) => span_id),
      );
    });
  });
}
