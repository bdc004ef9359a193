import { beforeEach, describe, expect, it } from "vitest";

import { composer, handOver } from "@/generations/composer";

/** A server that answers when it is told to. */
function server() {
  let answer: (taken: boolean) => void = () => undefined;
  const asked: string[] = [];
  const send = (prompt: string): Promise<boolean> => {
    asked.push(prompt);
    return new Promise((resolve) => (answer = resolve));
  };
  return { asked, send, answer: (taken: boolean) => answer(taken) };
}

describe("handing a prompt over", () => {
  beforeEach(() => (composer.prompt = " A lighthouse "));

  it("empties the bar at once and sends what was in it", async () => {
    const { asked, send, answer } = server();
    const over = handOver(send);
    expect(composer.prompt).toBe("");
    expect(asked).toEqual(["A lighthouse"]);
    answer(true);
    expect(await over).toBe(true);
    expect(composer.prompt).toBe("");
  });

  it.each([true, false])("keeps what is written meanwhile (taken: %s)", async (taken) => {
    const { send, answer } = server();
    const over = handOver(send);
    composer.prompt = "A harbour";
    answer(taken);
    expect(await over).toBe(taken);
    expect(composer.prompt).toBe("A harbour");
  });

  it("gives a refused prompt back", async () => {
    const { send, answer } = server();
    const over = handOver(send);
    answer(false);
    expect(await over).toBe(false);
    expect(composer.prompt).toBe(" A lighthouse ");
  });
});
