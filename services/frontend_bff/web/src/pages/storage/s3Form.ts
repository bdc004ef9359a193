/** The values of the form: from the settings that were read, to those that are sent. */
import type { S3Form, S3Settings } from "@/api/types";

export type Values = Required<S3Form>;
export type Preset = "s3" | "r2" | "other";

const R2 = ".r2.cloudflarestorage.com";
const AWS = /^https:\/\/s3[.-][\w.-]*amazonaws\.com/;
const R2_ACCOUNT = /^[0-9a-f]{32}$/;

/** What the form begins with; the secret is empty, which keeps the one that is saved. */
export function valuesOf(settings: S3Settings): Values {
  return {
    enabled: settings.enabled,
    endpoint: settings.endpoint,
    public_endpoint: settings.public_endpoint,
    region: settings.region,
    bucket: settings.bucket,
    access_key_id: settings.access_key_id,
    secret_access_key: null,
    prefix: settings.prefix,
    force_path_style: settings.force_path_style,
    cdn_url: settings.cdn_url,
    delivery: settings.delivery,
  };
}

/** Whose service an endpoint belongs to. */
export function presetOf(endpoint: string): Preset {
  if (endpoint.includes(R2)) return "r2";
  return AWS.test(endpoint) ? "s3" : "other";
}

/** What choosing a service fills in; `saved` comes back where it is of that service. */
export function withPreset(values: Values, preset: Preset, saved: Values): Values {
  if (presetOf(saved.endpoint) === preset) {
    const { endpoint, public_endpoint, region, force_path_style } = saved;
    return { ...values, endpoint, public_endpoint, region, force_path_style };
  }
  const empty = { endpoint: "", public_endpoint: "" };
  if (preset === "r2") return { ...values, ...empty, region: "auto", force_path_style: true };
  if (preset === "other")
    return { ...values, ...empty, region: "us-east-1", force_path_style: true };
  const region = values.region === "auto" ? "us-east-1" : values.region || "us-east-1";
  return { ...values, ...empty, endpoint: awsEndpoint(region), region, force_path_style: false };
}

export function awsEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com`;
}

/** The endpoint that was meant when only R2's account id was written. */
export function completedEndpoint(text: string): string {
  const trimmed = text.trim();
  return R2_ACCOUNT.test(trimmed) ? `https://${trimmed}${R2}` : trimmed;
}

export function isSame(one: Values, other: Values): boolean {
  return JSON.stringify(ordered(one)) === JSON.stringify(ordered(other));
}

function ordered(values: Values): unknown[] {
  return Object.entries({ ...values, secret_access_key: values.secret_access_key || null }).sort(
    ([a], [b]) => a.localeCompare(b),
  );
}
