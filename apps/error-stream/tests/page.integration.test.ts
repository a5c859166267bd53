/** The page at `/`, in a real browser. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { uniqueName } from "@timespan/testing/events";
import { produce } from "@timespan/testing/produce";
import { eventually, type RunningApp, runApp } from "@timespan/testing/run-app";
import { testEnvironment } from "@timespan/testing/test-environment";
import { type Browser, chromium, type Page } from "playwright-core";
import { errorEvent } from "./error-events.ts";

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const executablePath = BROWSERS.map((name) => Bun.which(name)).find((path) => path !== null) ?? undefined;
if (executablePath === undefined)
  console.log(`The page: SKIPPED, no ${BROWSERS.join(", ")} on this machine.`);

describe.skipIf(executablePath === undefined)("the page", () => {
  const topic = uniqueName("errors");
  const env = {
    KAFKA_BROKERS: testEnvironment().kafkaBrokers.join(","),
    KAFKA_APM_LOG_ERROR_TOPIC: topic,
    KAFKA_TOPIC_PARTITIONS: "1",
  };
  let app: RunningApp;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  let offset = 0;
  const send = (...events: Parameters<typeof errorEvent>[1][]) =>
    produce(
      topic,
      events.map((fields) => errorEvent(`1-${offset++}-0`, fields)),
    );

  beforeAll(async () => {
    app = await runApp("error-stream", "ERROR_STREAM_PORT", env);
    browser = await chromium.launch({ executablePath: executablePath ?? "", args: ["--no-sandbox"] });
    page = await browser.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
  });
  afterAll(async () => {
    await browser?.close();
    await app?.stop();
  });
  const shown = () => page.locator("#errors li p").allTextContents();

  test("shows the newest errors and those that come, newest first, and nothing of them as markup", async () => {
    await send({ message: "before" });
    await page.goto(app.url);
    await page.locator('#status[data-state="live"]').waitFor();
    const markup = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";
    await send(
      { message: "first", service_name: "cart" },
      { message: markup, trace_id: "0af7651916cd43dd8448eb211c80319c" },
    );
    await eventually(async () => (await shown()).length === 3, { what: "three errors" });
    expect(await shown()).toEqual([markup, "first", "before"]);
    expect(await page.title()).toBe("Live errors – Timespan");
    expect(await page.locator("#errors img, #errors b").count()).toBe(0);
    expect(await page.locator("#errors code").first().textContent()).toBe("0af7651916cd43dd8448eb211c80319c");
  });

  test("filters on the server", async () => {
    await page.fill('[name="service_name"]', "cart");
    await page.click('button:text("Apply")');
    await eventually(async () => (await shown()).join() === "first", { what: "the error of the cart alone" });
    await send({ message: "not of the cart" }, { message: "second", service_name: "cart" });
    await eventually(async () => (await shown())[0] === "second", { what: "the second" });
    expect(await shown()).toEqual(["second", "first"]);
  });

  test("holds still while paused, and then catches up", async () => {
    await page.click("#pause");
    await send({ message: "third", service_name: "cart" });
    await eventually(async () => (await page.locator("#count").textContent()) === "3 received", {
      what: "the third to be received",
    });
    expect((await shown())[0]).toBe("second");
    await page.click("#pause");
    await eventually(async () => (await shown())[0] === "third", { what: "the third to be shown" });
  });

  test("comes back by itself after a restart of the server, and misses nothing", async () => {
    const { port } = new URL(app.url);
    await app.stop();
    await page.locator('#status[data-state="broken"]').waitFor();
    await send({ message: "while it was away", service_name: "cart" });
    complaints.length = 0; // A browser complains of each connection that is refused.
    app = await runApp("error-stream", "ERROR_STREAM_PORT", env, { port: Number(port) });
    await eventually(async () => (await shown())[0] === "while it was away", {
      timeoutMs: 30_000,
      what: "what came while it was away",
    });
    expect((await shown()).slice(0, 2)).toEqual(["while it was away", "third"]);
    complaints.splice(
      0,
      complaints.length,
      ...complaints.filter((text) => !text.includes("WebSocket connection")),
    );
  });

  test("says what is wrong with a filter", async () => {
    await page.fill('[name="message"]', "x".repeat(2_000));
    await page.click('button:text("Apply")');
    await eventually(async () => ((await page.locator("#problem").textContent()) ?? "").includes("1024"), {
      what: "the problem",
    });
    expect(await page.locator("#status").textContent()).toContain("bad filter");
  });

  test("loads nothing from elsewhere, and the browser has nothing to complain of", async () => {
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(app.url);
    await page.locator('#status[data-state="live"]').waitFor();
    expect(asked.filter((url) => !url.startsWith(app.url) && !url.startsWith("data:"))).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
