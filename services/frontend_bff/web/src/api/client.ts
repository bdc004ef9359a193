/** Every call of the BFF, each of which returns its answer's body or throws an `ApiError`. */
import createClient from "openapi-fetch";

import { asApiError, problemFrom } from "./problem";
import type { paths } from "./schema";
import { sessionFetch } from "./sessionFetch";
import type {
  Costs,
  GenerateRequest,
  Generation,
  GenerationPage,
  Model,
  PublicSettings,
  Quota,
  S3Change,
  S3Form,
  S3Settings,
  StorageStatus,
  Trial,
  UploadPage,
  User,
} from "./types";

const http = createClient<paths>({
  baseUrl: window.location.origin,
  fetch: sessionFetch,
  credentials: "same-origin",
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

async function body<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch((thrown: unknown) => {
    throw asApiError(thrown);
  });
  if (!response.ok) throw problemFrom(response, error);
  return data as T;
}

export const publicSettings = (): Promise<PublicSettings> =>
  body(http.GET("/api/v1/settings/public"));
export const me = (): Promise<User> => body(http.GET("/api/v1/auth/me"));
export const quota = (): Promise<Quota> => body(http.GET("/api/v1/sora/quota"));
export const models = (): Promise<Model[]> => body(http.GET("/api/v1/sora/models"));
export const storageStatus = (): Promise<StorageStatus> =>
  body(http.GET("/api/v1/sora/storage-status"));

export async function login(email: string, password: string): Promise<User> {
  return (await body(http.POST("/api/v1/auth/login", { body: { email, password } }))).user;
}

export async function register(email: string, password: string): Promise<void> {
  await body(http.POST("/api/v1/auth/register", { body: { email, password } }));
}

export async function logout(): Promise<void> {
  await body(http.POST("/api/v1/auth/logout"));
}

/** What a list is narrowed to; lists of values are comma-separated. */
export interface ListFilter {
  status?: string;
  storage_type?: string;
  media_type?: string;
  q?: string;
  page_size?: number;
  page_token?: string;
  include?: string;
}

export function listGenerations(query: ListFilter, signal?: AbortSignal): Promise<GenerationPage> {
  return body(http.GET("/api/v1/sora/generations", { params: { query }, signal }));
}

export function getGeneration(id: string): Promise<Generation> {
  return body(http.GET("/api/v1/sora/generations/{id}", { params: { path: { id } } }));
}

/** Asks for a work; returns its id. The same `key` never makes two. */
export async function generate(request: GenerateRequest, key: string): Promise<string> {
  const header = { "Idempotency-Key": key };
  const answer = await body(
    http.POST("/api/v1/sora/generate", { body: request, params: { header } }),
  );
  return answer.generation_id;
}

export function cancelGeneration(id: string): Promise<Generation> {
  return body(http.POST("/api/v1/sora/generations/{id}/cancel", { params: { path: { id } } }));
}

export function saveGeneration(id: string): Promise<Generation> {
  return body(http.POST("/api/v1/sora/generations/{id}/save", { params: { path: { id } } }));
}

export async function retryGeneration(id: string): Promise<void> {
  await body(http.POST("/api/v1/sora/generations/{id}/retry", { params: { path: { id } } }));
}

export async function deleteGeneration(id: string): Promise<void> {
  await body(http.DELETE("/api/v1/sora/generations/{id}", { params: { path: { id } } }));
}

export const s3Settings = (): Promise<S3Settings> => body(http.GET("/api/v1/admin/storage/s3"));
export const storageCosts = (): Promise<Costs> => body(http.GET("/api/v1/admin/storage/costs"));

export function updateS3Settings(change: S3Change): Promise<S3Settings> {
  return body(http.PUT("/api/v1/admin/storage/s3", { body: change }));
}

/** Back to the settings of the environment. */
export function resetS3Settings(etag: string, leaveObjectsBehind: boolean): Promise<S3Settings> {
  const query = { etag, leave_objects_behind: leaveObjectsBehind };
  return body(http.DELETE("/api/v1/admin/storage/s3", { params: { query } }));
}

/** Tries the values without keeping them; a failed step is a part of the answer. */
export function testS3Settings(form: S3Form): Promise<Trial> {
  return body(http.POST("/api/v1/admin/storage/s3/test", { body: form }));
}

export function listUploads(token: string, size: number): Promise<UploadPage> {
  const query = { page_size: size, ...(token ? { page_token: token } : {}) };
  return body(http.GET("/api/v1/admin/storage/uploads", { params: { query } }));
}
