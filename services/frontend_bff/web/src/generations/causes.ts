/** Why a work is as it is, in the reader's language; the server's own sentence where its code is not known. */
import type { Generation } from "@/api/types";
import { i18n } from "@/i18n";

import { failureOf } from "./failure";

export function failureText(error: Generation["error"]): string {
  const { t, te } = i18n.global;
  const cause = `failure.causes.${error?.code ?? ""}`;
  if (te(cause)) return t(cause);
  const kind = failureOf(error);
  return (kind === "other" && error?.message) || t(`failure.${kind}.text`);
}

export function noticeText(notice: NonNullable<Generation["notice"]>): string {
  const { t, te } = i18n.global;
  const known = `notice.${notice.code}`;
  return te(known) ? t(known) : notice.message;
}
