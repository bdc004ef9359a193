/** Asks for running generations in intervals, while the live stream is out of reach. */
import { getGeneration, listGenerations } from "@/api/client";
import { asApiError } from "@/api/problem";
import { serverNow } from "@/format/clock";
import { waited } from "@/generations/phase";
import { isActive, newestFirst } from "@/generations/records";

import type { LiveMessage } from "./bus";
import { pause } from "./pause";
import { nextPoll } from "./poll";

/** With nothing running, the records are looked at again after this many milliseconds (no request is made). */
const IDLE = 3_000;

/** Runs until `signal` aborts. */
export async function poll(
  publish: (message: LiveMessage) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const running = newestFirst().filter(isActive);
    const delay = nextPoll(running.map((record) => waited(record, serverNow())));
    await pause(delay ?? IDLE, signal);
    if (delay !== null && !signal.aborted)
      await ask(
        running.map((record) => record.id),
        publish,
      ).catch(() => undefined);
  }
}

/** Asks once; those that are no longer in the list of running ones have ended and are asked for by id. */
async function ask(ids: string[], publish: (message: LiveMessage) => void): Promise<void> {
  const page = await listGenerations({ status: "pending,generating", page_size: 100 });
  for (const record of page.items) publish({ kind: "generation", record });
  const listed = new Set(page.items.map((record) => record.id));
  for (const id of ids.filter((known) => !listed.has(known))) {
    try {
      publish({ kind: "generation", record: await getGeneration(id) });
    } catch (thrown) {
      if (asApiError(thrown).status !== 404) throw thrown;
      publish({ kind: "deleted", id });
    }
  }
}
