import { expect, test } from "bun:test";
import { isAuthRequired, isLoopback } from "../src/auth-setting.ts";

test.each(["127.0.0.1", "127.8.0.1", "localhost", "LOCALHOST", "::1", "[::1]"])("%s is loopback", (host) => {
  expect(isLoopback(host)).toBe(true);
  expect(isAuthRequired(undefined, host)).toBe(false);
  expect(isAuthRequired("required", host)).toBe(true);
});

test.each([
  "0.0.0.0",
  "::",
  "[::]",
  "10.0.0.1",
  "127.0.0.1.example.org",
  "localhost.example.org",
  "",
  "127.1",
])("%s is not, so keys are needed unless AUTH says otherwise", (host) => {
  expect(isLoopback(host)).toBe(false);
  expect(isAuthRequired(undefined, host)).toBe(true);
  expect(isAuthRequired("off", host)).toBe(false);
});
