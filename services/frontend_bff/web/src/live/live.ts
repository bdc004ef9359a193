/** Keeps this tab's records up to date. One tab of a person talks to the server, the others listen to it. */
import { readonly, ref } from "vue";

import { locks } from "@/app/locks";
import { drop, put, reset } from "@/generations/records";

import { type Bus, type LiveMessage, type LiveState, openBus } from "./bus";
import { afterChange, afterDeletion, afterReset } from "./effects";
import { poll } from "./polling";
import { holdStream } from "./stream";

/** From the second failure in a row on, polling bridges the gap. */
const POLL_AFTER = 2;

const state = ref<LiveState>("connecting");
let rev = "";

/** How the records are kept up to date at this moment. */
export const liveState = readonly(state);

/** Starts for the person with this id; returns how to stop. */
export function startLive(userId: string): () => void {
  const name = `reelgate-live-${userId}`;
  const stop = new AbortController();
  const bus = openBus(name, hear);
  const work = (): Promise<void> => lead(bus, stop.signal);
  const leading = locks ? locks.request(name, { signal: stop.signal }, work) : work();
  leading.catch(() => undefined);
  return () => {
    stop.abort();
    bus.close();
  };
}

function hear(message: LiveMessage): void {
  if (message.kind === "generation") {
    const before = put(message.record);
    if (!before || message.record.rev > before.rev) afterChange(message.record, before);
  } else if (message.kind === "deleted") {
    drop(message.id);
    afterDeletion();
  } else if (message.kind === "reset") {
    reset();
    afterReset();
  } else {
    state.value = message.state;
    rev = message.rev || rev;
  }
}

async function lead(bus: Bus, signal: AbortSignal): Promise<void> {
  let polling: AbortController | null = null;
  const tell = (next: LiveState): void => bus.publish({ kind: "state", state: next, rev });
  const stopPolling = (): void => {
    polling?.abort();
    polling = null;
  };
  signal.addEventListener("abort", stopPolling);
  await holdStream(
    {
      message: bus.publish,
      opened() {
        stopPolling();
        tell("live");
      },
      failed(times) {
        if (times < POLL_AFTER || polling) return;
        polling = new AbortController();
        tell("polling");
        void poll(bus.publish, polling.signal);
      },
      seen(id) {
        rev = id;
        tell(state.value);
      },
    },
    () => rev,
    signal,
  );
}
