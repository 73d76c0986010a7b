import { describe, expect, test } from "vitest";
import { delay, verdict } from "../src/backoff.js";
import { type ConnectionEvent, type ConnectionStatus, next } from "../src/states.js";

describe("backoff", () => {
  const most = () => 1;

  test("doubles up to the cap, with full jitter", () => {
    const backoff = { base: 100, cap: 1_000 };
    expect([0, 1, 2, 3, 4, 50].map((attempt) => delay(attempt, 1006, most, backoff))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
    expect(delay(3, 1006, () => 0, backoff)).toBe(0);
    expect(delay(3, 1006, () => 0.25, backoff)).toBe(200);
  });

  test("1001 spreads clients over a second at least", () => {
    expect(delay(0, 1001, most, { base: 100 })).toBe(1_000);
    expect(delay(0, 1001, () => 0.5, { base: 100 })).toBe(500);
    expect(delay(9, 1001, most)).toBe(30_000);
  });

  test("4429 stays away for a while", () => {
    expect(delay(0, 4429, () => 0)).toBe(5_000);
  });

  test.each([
    [1006, "again"],
    [1000, "again"],
    [1001, "again"],
    [4408, "again"],
    [4409, "again"],
    [4429, "again"],
    [4401, "token"],
    [4400, "stop"],
    [1002, "stop"],
    [1003, "stop"],
    [1007, "stop"],
    [1009, "stop"],
  ] as const)("close code %i: %s", (code, want) => {
    expect(verdict(code)).toBe(want);
  });
});

describe("the table of states", () => {
  const path = (...events: ConnectionEvent[]) =>
    events.reduce<ConnectionStatus | undefined>((at, event) => at && next(at, event), "idle");

  test("the way in", () => {
    expect(path("want", "authorized", "opened", "welcomed")).toBe("open");
  });

  test.each(["authorizing", "connecting", "greeting", "open"] as const)(
    "%s can be lost, denied, failed, paused",
    (at) => {
      expect((["lost", "deny", "fail", "pause", "release"] as const).map((event) => next(at, event))).toEqual(
        ["backoff", "denied", "failed", "paused", "idle"],
      );
    },
  );

  test("nothing but retry and release leads out of rest", () => {
    for (const at of ["backoff", "denied", "failed", "paused"] as const) {
      expect(next(at, "want")).toBeUndefined();
      expect(next(at, "welcomed")).toBeUndefined();
      expect(next(at, "retry")).toBe("authorizing");
      expect(next(at, "release")).toBe("idle");
    }
  });
});
