// Stand-in until the snapshot of the server's OpenAPI document exists.
export interface components {
  schemas: {
    User: { id: string; email: string; role: string; name?: string | null };
    PublicSettings: {
      sora_client_enabled: boolean;
      registration_enabled: boolean;
      default_locale: string;
      version: string;
    };
    Quota: {
      quota_bytes: number;
      used_bytes: number;
      reserved_bytes: number;
      available_bytes: number;
      source: "user" | "group" | "default" | "unlimited";
    };
    Model: {
      id: string;
      family: string;
      name: string;
      type: "video" | "image";
      orientation: string | null;
      duration_seconds: number | null;
      parameters: Record<string, unknown>;
      credits: number;
      shutdown_date: string | null;
    };
    StorageStatus: { s3_enabled: boolean; s3_healthy: boolean; local_enabled: boolean };
    Notice: { code: string; message: string };
    Generation: {
      id: string;
      run: number;
      rev: number;
      model: string;
      prompt: string;
      media_type: "video" | "image";
      orientation: string | null;
      input_urls: string[];
      parameters: Record<string, unknown>;
      status: "pending" | "generating" | "completed" | "failed" | "cancelled";
      progress_percent: number;
      stage: string;
      media_url: string | null;
      media_urls: string[];
      thumbnail_url: string | null;
      media: { object_id: string; url: string }[];
      width: number | null;
      height: number | null;
      duration_seconds: number | null;
      file_size_bytes: number | null;
      storage_type: "s3" | "local" | "upstream" | "none";
      error: components["schemas"]["Notice"] | null;
      notice: components["schemas"]["Notice"] | null;
      retry_count: number;
      cached: boolean;
      credits: number;
      api_key_id: string | null;
      created_at: string;
      updated_at: string;
      started_at: string | null;
      completed_at: string | null;
      estimated_completion_at: string | null;
      expires_at: string | null;
      expired: boolean;
      can_save: boolean;
      can_retry: boolean;
    };
    GenerationPage: {
      items: components["schemas"]["Generation"][];
      next_page_token: string | null;
      total?: number;
      counts?: { all: number; video: number; image: number };
    };
    GenerateRequest: {
      model: string;
      prompt: string;
      media_type?: "video" | "image";
      orientation?: string;
      duration_seconds?: number;
      n?: number;
      parameters?: Record<string, unknown>;
    };
    Generated: { generation_id: string; status: string };
    Credentials: { email: string; password: string };
    Session: { access_token: string; token_type: string; expires_in: number; user: components["schemas"]["User"] };
  };
}
type S = components["schemas"];
type Json<T> = { content: { "application/json": T } };
type Ok<T> = { responses: { 200: Json<T> } };
type Post<Body, T> = { requestBody: { content: { "application/json": Body } }; responses: { 200: Json<T> } };
type ById = { parameters: { path: { id: string } } };
export interface paths {
  "/api/v1/settings/public": { get: Ok<S["PublicSettings"]> };
  "/api/v1/auth/me": { get: Ok<S["User"]> };
  "/api/v1/auth/login": { post: Post<S["Credentials"], S["Session"]> };
  "/api/v1/auth/register": { post: Post<S["Credentials"], S["User"]> };
  "/api/v1/auth/logout": { post: { responses: { 204: { content?: never } } } };
  "/api/v1/sora/quota": { get: Ok<S["Quota"]> };
  "/api/v1/sora/models": { get: Ok<S["Model"][]> };
  "/api/v1/sora/storage-status": { get: Ok<S["StorageStatus"]> };
  "/api/v1/sora/generate": {
    post: Post<S["GenerateRequest"], S["Generated"]> & { parameters: { header?: { "Idempotency-Key"?: string } } };
  };
  "/api/v1/sora/generations": {
    get: {
      parameters: {
        query?: {
          status?: string;
          storage_type?: string;
          media_type?: string;
          q?: string;
          page_size?: number;
          page_token?: string;
          include?: string;
        };
      };
    } & Ok<S["GenerationPage"]>;
  };
  "/api/v1/sora/generations/{id}": {
    get: ById & Ok<S["Generation"]>;
    delete: ById & { responses: { 204: { content?: never } } };
  };
  "/api/v1/sora/generations/{id}/cancel": { post: ById & Ok<S["Generation"]> };
  "/api/v1/sora/generations/{id}/save": { post: ById & Ok<S["Generation"]> };
  "/api/v1/sora/generations/{id}/retry": { post: ById & Ok<S["Generated"]> };
}
