/** Asks for a work and shows it at once. */
import { generate, getGeneration } from "@/api/client";
import { asApiError } from "@/api/problem";
import { errorText } from "@/api/errorText";
import type { Generation, GenerateRequest } from "@/api/types";
import { offerNotifications } from "@/app/notifications";
import { queryClient } from "@/app/queryClient";
import { i18n } from "@/i18n";
import { showToast } from "@/components/ui/toasts";

import { put } from "./records";
import { openQuotaDialog } from "./quotaDialog";

let unanswered = { body: "", key: "" };

/** Starts a work; returns whether the server took it. Refusals are shown. */
export async function submit(request: GenerateRequest): Promise<boolean> {
  try {
    const id = await generate(request, keyFor(request));
    unanswered = { body: "", key: "" };
    put(await getGeneration(id));
    void queryClient.invalidateQueries({ queryKey: ["quota"] });
    offerNotifications();
    return true;
  } catch (thrown) {
    if (asApiError(thrown).status) unanswered = { body: "", key: "" };
    showRefusal(thrown);
    return false;
  }
}

/** The same work again, from the start. */
export function submitAgain(record: Generation): Promise<boolean> {
  const parameters = Object.keys(record.parameters).length ? { parameters: record.parameters } : {};
  return submit({ model: record.model, prompt: record.prompt, ...parameters });
}

/** Shows why the server refused; a full quota has a dialog of its own. */
export function showRefusal(thrown: unknown): void {
  if (asApiError(thrown).code === "quota_exceeded") openQuotaDialog();
  else showToast({ kind: "bad", title: i18n.global.t("errors.title"), text: errorText(thrown) });
}

/** One key per request until it is answered, so that a second click after a lost answer makes no second work. */
function keyFor(request: GenerateRequest): string {
  const body = JSON.stringify(request);
  if (unanswered.body !== body) unanswered = { body, key: randomKey() };
  return unanswered.key;
}

function randomKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
