/** Short names for the shapes of the server's OpenAPI document. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type User = Schemas["User"];
export type PublicSettings = Schemas["PublicSettings"];
export type Quota = Schemas["Quota"];
export type Model = Schemas["Model"];
export type StorageStatus = Schemas["StorageStatus"];
export type Generation = Schemas["Generation"];
export type GenerationPage = Schemas["GenerationPage"];
export type GenerateRequest = Schemas["GenerateRequest"];
export type MediaType = Model["type"];
