import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { onSignedOut, sessionFetch } from "@/api/sessionFetch";

const REFRESH = "/api/v1/auth/refresh";
const path = (input: Request | string): string =>
  new URL(typeof input === "string" ? input : input.url, "http://localhost").pathname;
const request = (where: string, init?: RequestInit): Request =>
  new Request(`http://localhost${where}`, init);

/** A server whose access token is good or not; `refreshes` says what a refresh answers. */
function server(options: { good: boolean; refreshes: number }) {
  const calls: string[] = [];
  const bodies: string[] = [];
  vi.stubGlobal("fetch", async (input: Request | string) => {
    calls.push(path(input));
    if (path(input) === REFRESH) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      options.good = options.refreshes === 200;
      return new Response(null, { status: options.refreshes });
    }
    if (input instanceof Request && input.method === "POST") bodies.push(await input.text());
    return new Response("{}", { status: options.good ? 200 : 401 });
  });
  return { calls, bodies };
}

describe("sessionFetch", () => {
  const over = vi.fn();
  beforeEach(() => {
    localStorage.clear();
    over.mockReset();
    onSignedOut(over);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("passes an answer through while the session is good", async () => {
    const { calls } = server({ good: true, refreshes: 200 });
    expect((await sessionFetch(request("/api/v1/sora/quota"))).status).toBe(200);
    expect(calls).toEqual(["/api/v1/sora/quota"]);
  });

  it("refreshes once and repeats the request with its body", async () => {
    const { calls, bodies } = server({ good: false, refreshes: 200 });
    const answer = await sessionFetch(
      request("/api/v1/sora/generate", { method: "POST", body: '{"prompt":"x"}' }),
    );
    expect(answer.status).toBe(200);
    expect(calls).toEqual(["/api/v1/sora/generate", REFRESH, "/api/v1/sora/generate"]);
    expect(bodies).toEqual(['{"prompt":"x"}', '{"prompt":"x"}']);
  });

  it("refreshes once for requests that are refused together", async () => {
    const { calls } = server({ good: false, refreshes: 200 });
    const answers = await Promise.all(
      [1, 2, 3].map((n) => sessionFetch(request(`/api/v1/sora/${n}`))),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
    expect(calls.filter((call) => call === REFRESH)).toHaveLength(1);
  });

  it("does not refresh when another tab has done so meanwhile", async () => {
    const { calls } = server({ good: false, refreshes: 200 });
    localStorage.setItem("reelgate.refreshedAt", String(Date.now() + 1000));
    await sessionFetch(request("/api/v1/sora/quota"));
    expect(calls).not.toContain(REFRESH);
  });

  it("says that the session is over when the refresh is refused", async () => {
    server({ good: false, refreshes: 401 });
    expect((await sessionFetch(request("/api/v1/sora/quota"))).status).toBe(401);
    expect(over).toHaveBeenCalledOnce();
  });

  it("does not end the session when the refresh could not be asked for", async () => {
    server({ good: false, refreshes: 503 });
    await expect(sessionFetch(request("/api/v1/sora/quota"))).rejects.toThrow();
    expect(over).not.toHaveBeenCalled();
  });

  it("takes a wrong password for what it is", async () => {
    const { calls } = server({ good: false, refreshes: 200 });
    await sessionFetch(request("/api/v1/auth/login", { method: "POST", body: "{}" }));
    expect(calls).not.toContain(REFRESH);
    expect(over).not.toHaveBeenCalled();
  });
});
