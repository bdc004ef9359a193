/** Carries what one tab hears from the server to all tabs of the same person. */
import type { Generation } from "@/api/types";

export type LiveState = "connecting" | "live" | "polling";

export type LiveMessage =
  | { kind: "generation"; record: Generation }
  | { kind: "deleted"; id: string }
  | { kind: "reset" }
  | { kind: "state"; state: LiveState; rev: string };

export interface Bus {
  /** Hands a message to this tab and to every other one. */
  publish: (message: LiveMessage) => void;
  close: () => void;
}

export function openBus(name: string, hear: (message: LiveMessage) => void): Bus {
  const channel = "BroadcastChannel" in window ? new BroadcastChannel(name) : null;
  if (channel) channel.onmessage = (event: MessageEvent<LiveMessage>) => hear(event.data);
  return {
    publish(message) {
      hear(message);
      channel?.postMessage(message);
    },
    close: () => channel?.close(),
  };
}
