import { describe, expect, test } from "bun:test";
import { apiKeyHint, bearerToken, generateApiKey, hashApiKey, hasScope, isApiKey } from "../src/api-key.ts";

describe("a key", () => {
  test("has a prefix and 256 bits that no other has", () => {
    const keys = Array.from({ length: 1_000 }, generateApiKey);
    expect(new Set(keys).size).toBe(1_000);
    for (const key of keys) {
      expect(isApiKey(key)).toBe(true);
      expect(Buffer.from(key.slice("tsp_".length), "base64url")).toHaveLength(32);
      expect(hashApiKey(key)).toHaveLength(32);
      expect(key.length - apiKeyHint(key).length).toBeGreaterThanOrEqual(34);
    }
  });

  test.each([
    "",
    "tsp_",
    `tsp_${"a".repeat(42)}`,
    `tsp_${"a".repeat(44)}`,
    `TSP_${"a".repeat(43)}`,
    `tsp_${"a".repeat(42)}+`,
    `tsp_${"a".repeat(43)}\n`,
  ])("is not %j", (text) => expect(isApiKey(text)).toBe(false));

  test("of admin may do everything, any other what it was made for", () => {
    expect(hasScope(["admin"], "read")).toBe(true);
    expect(hasScope(["admin"], "ingest")).toBe(true);
    expect(hasScope(["ingest"], "read")).toBe(false);
    expect(hasScope(["read"], "admin")).toBe(false);
    expect(hasScope(["ingest", "read"], "read")).toBe(true);
  });
});

describe("the token of an Authorization header", () => {
  test.each([
    ["Bearer abc", "abc"],
    ["bearer   abc ", "abc"],
    ["BEARER a b", "a b"],
    ["Bearer ", ""],
  ])("%j is %j", (header, token) => expect(bearerToken(header)).toBe(token));

  test.each([undefined, null, "", "Bearer", "Basic YTpi", "Bearerabc", " Bearer abc", "Token abc"])(
    "%j has none",
    (header) => expect(bearerToken(header)).toBeUndefined(),
  );
});
