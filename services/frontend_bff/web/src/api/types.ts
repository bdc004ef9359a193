/** Short names for the shapes of the server's OpenAPI document. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type User = Schemas["User"];
export type PublicSettings = Schemas["PublicSettings"];
export type Quota = Schemas["Quota"];
export type Model = Schemas["Model"];
export type StorageStatus = Schemas["StorageStatus"];
export type Generation = Schemas["Generation"];
export type Media = Generation["media"][number];
export type GenerationPage = Schemas["GenerationPage"];
export type GenerateRequest = Schemas["GenerateRequest"];
export type MediaType = Model["type"];
/** Its secret is always null. */
export type S3Settings = Omit<Schemas["S3Settings"], "secret_access_key">;
export type S3Form = Schemas["S3Form"];
export type S3Change = Schemas["S3Change"];
export type Trial = Schemas["Trial"];
export type UploadRecord = Schemas["UploadRecord"];
export type UploadPage = Schemas["UploadPage"];
export type Costs = Schemas["Costs"];
