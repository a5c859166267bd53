import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { createGuards, type GuardOptions, NO_GUARDS } from "../src/guards.ts";
import { MASKED_DEPTH_MAX, TOO_DEEP_TO_MASK } from "../src/mask-attributes.ts";
import { maskKeyProblem } from "../src/mask-keys.ts";
import { type RejectionReason, reject } from "../src/rejection.ts";
import { decodeLogEvent } from "../src/wire/decode-log-event.ts";
import { decodeSpanEvent } from "../src/wire/decode-span-event.ts";
import { decodeErrorEvent, encodeErrorEvent } from "../src/wire/error-event.ts";

const SECRET = "a secret of the tests";
const NO_LIMIT = 10_000;

function guardsOf(options: Partial<GuardOptions>) {
  return createGuards(
    {
      hashKeys: [],
      dropKeys: [],
      hashSecret: SECRET,
      endpointsPerServiceMax: NO_LIMIT,
      logPatternsPerServiceMax: NO_LIMIT,
      ...options,
    },
    { nowMs: () => 0 },
  );
}

const hashOf = (text: string) =>
  `hmac:${createHmac("sha256", SECRET).update(text).digest("hex").slice(0, 32)}`;
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const parsed = (bytes: Uint8Array | null) =>
  bytes === null ? null : JSON.parse(Buffer.from(bytes).toString());

describe("masked attributes", () => {
  const guards = guardsOf({ hashKeys: ["user.id", "session.*"], dropKeys: ["password", "patient.*"] });
  const cases: [what: string, given: Record<string, unknown>, stored: Record<string, unknown>][] = [
    ["a key with a dot", { "user.id": "ada", a: 1 }, { "user.id": hashOf("ada"), a: 1 }],
    ["the same key by nesting", { user: { id: "ada", age: 36 } }, { user: { id: hashOf("ada"), age: 36 } }],
    ["any case", { "User.ID": "ada", PassWord: "x" }, { "User.ID": hashOf("ada") }],
    [
      "deep within other objects and lists",
      { form: { fields: [{ password: "x", user: { id: "ada" } }, ["y", { password: "x" }]] } },
      { form: { fields: [{ user: { id: hashOf("ada") } }, ["y", {}]] } },
    ],
    [
      "everything below a prefix, and not the prefix itself",
      { "patient.id": 1, "patient.name.first": "a", patient: { ward: { bed: 3 } }, patients: 2 },
      { patient: {}, patients: 2 },
    ],
    [
      "a text where a prefix would go on",
      { patient: "p", "session.id": "s" },
      { patient: "p", "session.id": hashOf("s") },
    ],
    [
      "numbers and truth values by their text",
      { "user.id": 42, "session.open": true },
      { "user.id": hashOf("42"), "session.open": hashOf("true") },
    ],
    ["each item of a list", { "user.id": ["ada", 42] }, { "user.id": [hashOf("ada"), hashOf("42")] }],
    [
      "an object as a whole, whatever the order of its keys",
      { "user.id": { b: 1, a: "x" } },
      { "user.id": hashOf('{"a":"x","b":1}') },
    ],
    ["null, which is no value", { password: null, "user.id": null }, { password: null, "user.id": null }],
    [
      "a list of keys and values",
      {
        headers: [
          { key: "password", value: "x" },
          { key: "User.Id", value: "ada" },
          { key: "b", value: 1 },
        ],
      },
      { headers: [{ key: "password" }, { key: "User.Id", value: hashOf("ada") }, { key: "b", value: 1 }] },
    ],
    [
      "a key that is only like one",
      { "user.id2": "a", "my.password": "b", passwords: "c" },
      { "user.id2": "a", "my.password": "b", passwords: "c" },
    ],
    [
      "attributes of a scope, whose keys have a prefix",
      {
        "otel.scope.password": "x",
        "otel.scope.user.id": "ada",
        "otel.scope.user": { id: "ada" },
        "otel.scope": 1,
      },
      { "otel.scope.user.id": hashOf("ada"), "otel.scope.user": { id: hashOf("ada") }, "otel.scope": 1 },
    ],
    ["a hash, once", { "user.id": hashOf("ada") }, { "user.id": hashOf("ada") }],
  ];
  test.each(cases)("%s", (_, given, stored) => {
    const before = structuredClone(given);
    expect(guards.attributes(given)).toEqual(stored);
    expect(given).toEqual(before);
  });

  test("what holds no such key is the same object", () => {
    const attributes = { a: { b: [{ c: 1 }] } };
    expect(guards.attributes(attributes)).toBe(attributes);
  });

  test("a value that is both to be hashed and dropped is dropped", () => {
    const both = guardsOf({ hashKeys: ["user.id"], dropKeys: ["user.*"] });
    expect(both.attributes({ "user.id": 1, user: { id: 2, name: "x" }, a: 3 })).toEqual({ user: {}, a: 3 });
  });

  test("another secret gives another hash", () => {
    const other = guardsOf({ hashKeys: ["user.id"], hashSecret: `${SECRET}!` });
    expect(other.attributes({ "user.id": "ada" })).not.toEqual(guards.attributes({ "user.id": "ada" }));
  });

  test("what nests too deep to be looked through is not kept", () => {
    const nest = (value: unknown, depth: number): Record<string, unknown> => ({
      a: depth === 1 ? value : nest(value, depth - 1),
    });
    const shallow = nest({ password: "x", b: 1 }, MASKED_DEPTH_MAX - 1);
    expect(JSON.stringify(guards.attributes(shallow))).toBe(
      JSON.stringify(nest({ b: 1 }, MASKED_DEPTH_MAX - 1)),
    );
    const deep = JSON.stringify(guards.attributes(nest({ password: "x" }, MASKED_DEPTH_MAX)));
    expect(deep).toContain(TOO_DEEP_TO_MASK);
    expect(deep).not.toContain('"x"');
    const bottomless = JSON.parse(`${'{"user":'.repeat(3_000)}1${"}".repeat(3_000)}`);
    expect(JSON.stringify(guards.attributes(bottomless)).length).toBeLessThan(1_000);
    const lists = JSON.parse(`{"user.id":${"[".repeat(3_000)}1${"]".repeat(3_000)}}`);
    expect(JSON.stringify(guards.attributes(lists)).length).toBeLessThan(1_000);
  });

  test("a field called __proto__ hides nothing", () => {
    const given = JSON.parse('{"__proto__":{"password":"x","user":{"id":"ada"}},"a":1}');
    expect(JSON.stringify(guards.attributes(given))).toBe(
      `{"__proto__":{"user":{"id":"${hashOf("ada")}"}},"a":1}`,
    );
    const inherited = guards.attributes(Object.create({ password: "x" }));
    expect(inherited.password).toBeUndefined();
  });

  test("values are counted by configured key", () => {
    const counting = guardsOf({ hashKeys: ["User.id"], dropKeys: ["password", "never"] });
    counting.attributes({ "user.id": 1, nested: [{ password: 1 }, { password: 2 }] });
    counting.attributes({ user: { id: 1 }, password: null });
    expect(counting.counts.masked).toEqual([
      { key: "User.id", action: "hash", count: 2 },
      { key: "password", action: "drop", count: 2 },
      { key: "never", action: "drop", count: 0 },
    ]);
  });

  test("more distinct keys and values than are remembered change nothing", () => {
    const some = guardsOf({ hashKeys: ["user.id"], dropKeys: ["password"] });
    for (let index = 0; index < 50_000; index++) {
      const stored = some.attributes({ [`k${index}`]: { password: 1 }, "user.id": `u${index}` });
      if (index % 997 === 0) {
        expect(stored).toEqual({ [`k${index}`]: {}, "user.id": hashOf(`u${index}`) });
      }
    }
  });

  test("hashing without a secret is refused", () => {
    expect(() => guardsOf({ hashKeys: ["a"], hashSecret: undefined })).toThrow("secret is required");
  });

  test.each([
    ["user.id", true],
    ["patient.*", true],
    ["*", false],
    [".*", false],
    ["a*", false],
    ["a.*.b", false],
    ["x".repeat(256), false],
  ])("the key %s is valid: %p", (key, valid) => {
    expect(maskKeyProblem(key) === undefined).toBe(valid);
  });
});

describe("no marked value is left", () => {
  const MARKER = "S3CR3T";
  const hashKeys = ["user.id", "secret", "card.*"];
  const dropKeys = ["a.b.c", "password"];
  const guards = guardsOf({ hashKeys, dropKeys });

  /** Keys under which a value must be masked, dotted and nested, in any case. */
  const maskedKey = fc.constantFrom(
    "user.id",
    "User.ID",
    "secret",
    "card.number",
    "card.a.b",
    "a.b.c",
    "PASSWORD",
  );
  const harmless = fc.oneof(fc.integer(), fc.constant("x"), fc.boolean(), fc.constant(null));
  const harmlessKey = fc.constantFrom(
    "k",
    "user",
    "a",
    "a.b",
    "id",
    "key",
    "value",
    "card",
    "labels",
    "items",
  );
  const secretValue = fc.oneof(
    fc.constant(MARKER),
    fc.constant([MARKER, { [MARKER]: MARKER }]),
    fc.constant({ deep: [{ id: MARKER }], [MARKER]: 1 }),
    fc.constant({ stringValue: MARKER }),
    fc.constant({ arrayValue: { values: [{ stringValue: MARKER }] } }),
    fc.constant({ kvlistValue: { values: [{ key: "x", value: { stringValue: MARKER } }] } }),
  );
  /** `{"a.b.c": v}` as `{"a": {"b.c": v}}` and so on. */
  const nestKey = (key: string, value: unknown, cuts: readonly boolean[]): Record<string, unknown> => {
    const segments = key.split(".");
    const parts: string[] = [];
    segments.forEach((segment, index) => {
      if (index > 0 && !cuts[index - 1]) parts.push(`${parts.pop()}.${segment}`);
      else parts.push(segment);
    });
    return parts.reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Record<string, unknown>;
  };
  /** `{"key": name, "value": inner}` as OTLP's JSON has it. */
  const pairOf = (name: string, inner: unknown) => ({
    kvlistValue: {
      values: [
        { key: "value", value: inner },
        { key: "key", value: { stringValue: name } },
      ],
    },
  });
  const otlpPair = (
    key: string,
    value: unknown,
    cuts: readonly boolean[],
    pairs: boolean,
  ): Record<string, unknown> => {
    const nested = nestKey(key, value, cuts);
    const wrap = (given: unknown): unknown => {
      if (given === value) return given;
      const [[name, inner] = ["", undefined]] = Object.entries(given as object);
      return pairs
        ? pairOf(name, wrap(inner))
        : { kvlistValue: { values: [{ key: name, value: wrap(inner) }] } };
    };
    const [[name, inner] = ["", undefined]] = Object.entries(nested);
    return pairs ? { key: "harmless", value: pairOf(name, wrap(inner)) } : { key: name, value: wrap(inner) };
  };
  const leak = fc
    .tuple(maskedKey, secretValue, fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }), fc.nat(2))
    .map(([key, value, cuts, form]) =>
      form === 0 ? nestKey(key, value, cuts) : otlpPair(key, value, cuts, form === 1),
    );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      harmless,
      leak,
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(harmlessKey, tie("tree"), { maxKeys: 3 }),
      fc.tuple(harmlessKey, tie("tree")).map(([key, value]) => ({ key, value })),
    ),
  }));

  test("in attributes, of any shape", () => {
    fc.assert(
      fc.property(fc.dictionary(harmlessKey, tree), leak, (attributes, more) => {
        expect(JSON.stringify(guards.attributes({ ...attributes, ...more }))).not.toContain(MARKER);
      }),
      { numRuns: 3_000 },
    );
  });

  test("twice masked is once masked", () => {
    fc.assert(
      fc.property(fc.dictionary(harmlessKey, tree), (attributes) => {
        const once = guards.attributes(attributes);
        expect(guards.attributes(once)).toEqual(once);
      }),
      { numRuns: 1_000 },
    );
  });

  test("in the payload of a dead letter, of any shape", () => {
    fc.assert(
      fc.property(fc.dictionary(harmlessKey, tree), leak, tree, (event, labels, message) => {
        for (const value of [
          { ...event, labels, message },
          [{ message: labels }],
          { ...labels, labels: [event] },
        ]) {
          const kept = guards.maskPayload(json(value));
          expect(Buffer.from(kept ?? "").toString()).not.toContain(MARKER);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  const text = (value: unknown) => JSON.stringify(value);
  const valid = {
    type: "span",
    service_name: "s",
    environment: "e",
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    span_id: "00f067aa0ba902b7",
    name: "n",
    kind: "CLIENT",
    duration_ms: 1,
    status: "OK",
    labels: {},
  };

  test("in the detail of a rejected event, whatever field holds it", () => {
    const shapes = [MARKER, [MARKER], { [MARKER]: MARKER }, 1e300, true];
    for (const field of [
      ...Object.keys(valid),
      "timestamp",
      "level",
      "message",
      "http_status_code",
      "http_method",
    ]) {
      for (const value of shapes) {
        const bytes = json({ ...valid, [field]: value });
        for (const decoded of [decodeSpanEvent(bytes, 0, guards), decodeLogEvent(bytes, 0, guards)]) {
          if (decoded.ok) continue;
          const { rejection } = guards.deadLetter(decoded.rejection, bytes);
          expect(rejection.detail).not.toContain(MARKER);
        }
      }
    }
    for (const broken of [
      MARKER,
      `{"a": ${MARKER}}`,
      `{"password":"\\u${MARKER}"}`,
      `["${MARKER}`,
      `"${MARKER}"`,
    ]) {
      const bytes = Buffer.from(broken);
      const decoded = decodeSpanEvent(bytes, 0, guards);
      if (decoded.ok) throw new Error("it is no event");
      const letter = guards.deadLetter(decoded.rejection, bytes);
      expect(text(letter)).not.toContain(MARKER);
      expect(letter.payload).toBeNull();
    }
  });

  test("in columns that are taken from attributes, nor in a forwarded error", () => {
    const strict = guardsOf({
      hashKeys: ["peer.service", "error.message"],
      dropKeys: ["http.route", "db.name", "user.*"],
    });
    const secrets = {
      "peer.service": MARKER,
      "error.message": MARKER,
      "http.route": MARKER,
      "db.name": MARKER,
      user: { id: MARKER },
    };
    const span = decodeSpanEvent(json({ ...valid, labels: secrets, "user.name": MARKER }), 0, strict);
    if (!span.ok) throw new Error(span.rejection.detail);
    expect(text(span.value)).not.toContain(MARKER);
    expect(span.value.peerService).toBe(hashOf(MARKER));
    const prototype = `${text({ ...valid, labels: {} }).slice(0, -1)},"__proto__":${text(secrets)}}`;
    const hidden = decodeSpanEvent(Buffer.from(prototype), 0, strict);
    if (!hidden.ok) throw new Error(hidden.rejection.detail);
    expect(text(hidden.value)).not.toContain(MARKER);

    const event = { type: "log", service_name: "s", environment: "e", level: "ERROR", message: "m" };
    const log = decodeLogEvent(json({ ...event, labels: secrets, user: { name: MARKER } }), 0, strict);
    if (!log.ok) throw new Error(log.rejection.detail);
    const forwarded = Buffer.from(encodeErrorEvent(log.value, "1-1-0"));
    expect(forwarded.toString()).not.toContain(MARKER);
    expect(decodeErrorEvent(forwarded)?.event.labels).toEqual(JSON.parse(log.value.attributesJson));
  });
});

describe("payloads of dead letters", () => {
  const guards = guardsOf({ hashKeys: ["user.id"], dropKeys: ["password", "message"] });

  test("the contract's own fields stay; labels and unknown fields are masked", () => {
    const event = { message: "kept", http_path: "/p", password: "x", user: { id: "ada" } };
    const masked = guards.maskPayload(json({ ...event, labels: { message: "label", password: "x" } }));
    expect(parsed(masked)).toEqual({
      message: "kept",
      http_path: "/p",
      user: { id: hashOf("ada") },
      labels: {},
    });
  });

  test("a request of OTLP in JSON is masked in attributes, bodies and nested values", () => {
    const attributes = [
      { key: "password", value: { stringValue: "x" } },
      { key: "user.id", value: { intValue: "42" } },
      { key: "user", value: { kvlistValue: { values: [{ key: "id", value: { stringValue: "ada" } }] } } },
      { key: "n", value: { arrayValue: { values: [{ intValue: "1" }] } } },
    ];
    const body = { kvlistValue: { values: [{ key: "password", value: { boolValue: true } }] } };
    const request = {
      resourceLogs: [{ resource: { attributes }, scopeLogs: [{ logRecords: [{ body, attributes }] }] }],
    };
    const maskedAttributes = [
      { key: "password" },
      { key: "user.id", value: { stringValue: hashOf("42") } },
      {
        key: "user",
        value: { kvlistValue: { values: [{ key: "id", value: { stringValue: hashOf("ada") } }] } },
      },
      { key: "n", value: { arrayValue: { values: [{ intValue: "1" }] } } },
    ];
    expect(parsed(guards.maskPayload(json(request)))).toEqual({
      resourceLogs: [
        {
          resource: { attributes: maskedAttributes },
          scopeLogs: [
            {
              logRecords: [
                { body: { kvlistValue: { values: [{ key: "password" }] } }, attributes: maskedAttributes },
              ],
            },
          ],
        },
      ],
    });
  });

  test("of two equal keys none survives", () => {
    const bytes = Buffer.from('{"user":{"id":"ada"},"a":1,"user":{}}');
    expect(parsed(guards.maskPayload(bytes))).toEqual({ a: 1, user: {} });
  });

  test.each([
    ["no JSON", "password=x"],
    ["a text", '"{\\"password\\":1}"'],
    ["a list with something else than events", '[{"a":1},"password=x"]'],
    ["nested without end", `${'{"a":'.repeat(501)}1${"}".repeat(501)}`],
    ["nothing", ""],
  ])("%s is withheld, and the detail says so", (_, bytes) => {
    const before = guards.counts.withheldPayloads;
    const { rejection } = reject("invalid_event", "the event must be a JSON object");
    expect(guards.deadLetter(rejection, Buffer.from(bytes))).toEqual({
      rejection: {
        reason: "invalid_event",
        detail: `${rejection.detail}; payload withheld because masking is on and it could not be parsed`,
      },
      payload: null,
    });
    expect(guards.counts.withheldPayloads).toBe(before + 1);
  });

  test("labels that are a text are left out", () => {
    const masked = guards.maskPayload(json({ labels: '{"password":"x"}', type: "log" }));
    expect(parsed(masked)).toEqual({ labels: "(withheld)", type: "log" });
  });

  test.each([
    [
      "malformed_json",
      'JSON Parse error: Unexpected identifier "ada"',
      "message withheld because masking is on",
    ],
    ["refused_by_database", '22P02: invalid "ada"', "22P02: message withheld because masking is on"],
    ["timestamp_in_future", "timestamp 2026 is ahead", "timestamp 2026 is ahead"],
  ] satisfies [RejectionReason, string, string][])(
    "the detail of %s quotes nothing",
    (reason, detail, kept) => {
      expect(guards.deadLetter(reject(reason, detail).rejection, null).rejection).toEqual({
        reason,
        detail: kept,
      });
    },
  );

  test("without masking, bytes and detail are what they were", () => {
    for (const none of [NO_GUARDS, guardsOf({})]) {
      const bytes = Buffer.from("password=x");
      const { rejection } = reject("malformed_json", 'Unexpected identifier "x"');
      expect(none.maskPayload(bytes)).toBe(bytes);
      expect(none.deadLetter(rejection, bytes)).toEqual({ rejection, payload: bytes });
    }
  });
});

test("a service with too many log patterns is told once, and its further logs count as other", () => {
  const full: string[] = [];
  const guards = createGuards(
    {
      hashKeys: [],
      dropKeys: [],
      hashSecret: undefined,
      endpointsPerServiceMax: 1,
      logPatternsPerServiceMax: 1,
    },
    { nowMs: () => 0, onServiceFull: (service, names) => full.push(`${service}: ${names}`) },
  );
  const names = ["a", "b", "c"];
  expect(names.map((name) => guards.logPattern("svc", name))).toEqual(["a", "other", "other"]);
  expect(names.map((name) => guards.endpoint("svc", name))).toEqual(["a", "other", "other"]);
  expect(full).toEqual(["svc: log patterns", "svc: endpoints"]);
  expect([guards.counts.otherLogPatterns, guards.counts.otherEndpoints]).toEqual([2, 2]);
});
