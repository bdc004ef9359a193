// Shows the OpenAPI document of this server and calls it.
const spec = await (await fetch("/api/openapi.json")).json();

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function field(label, input) {
  return element("label", {}, label, input);
}

const pretty = (value) => JSON.stringify(value, null, 2);

function example(schema) {
  const shape = spec.components.schemas[schema.$ref?.split("/").pop()];
  const known = { model: "sora2-landscape-10s", prompt: "a lighthouse in a storm", email: "", password: "" };
  return pretty(Object.fromEntries((shape?.required ?? []).map((name) => [name, known[name] ?? null])));
}

function form(path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => [parameter, element("input")]);
  const json = operation.requestBody?.content["application/json"];
  const file = operation.requestBody && !json && element("input", { type: "file" });
  const body = json ? element("textarea", { value: example(json.schema) }) : file;
  const output = element("pre", { hidden: true });
  output.setAttribute("aria-live", "polite");
  const made = element(
    "form",
    {},
    ...inputs.map(([parameter, input]) => field(`${parameter.name} (${parameter.in}) ${parameter.description ?? ""}`, input)),
    ...(body ? [field("body", body)] : []),
    element("button", { textContent: "Try it" }),
    output,
  );
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = "…";
    output.textContent = await call(path, method, inputs, file ? file.files[0] : body?.value).catch((thrown) => String(thrown));
  });
  return made;
}

async function call(path, method, inputs, body) {
  const url = new URL(path, location.origin);
  const headers = {};
  for (const [{ name, in: place }, { value }] of inputs) {
    if (place === "path") url.pathname = url.pathname.replace(encodeURI(`{${name}}`), encodeURIComponent(value));
    else if (value && place === "query") url.searchParams.set(name, value);
    else if (value) headers[name] = value;
  }
  const token = document.querySelector("#token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body?.type) headers["Content-Type"] = body.type;
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(url, { method: method.toUpperCase(), headers, body });
  const head = `${response.status} ${response.statusText}\n${[...response.headers].map((pair) => pair.join(": ")).join("\n")}\n\n`;
  const type = response.headers.get("Content-Type") ?? "";
  if (type.includes("json")) return head + pretty(await response.json());
  if (type.startsWith("text/event-stream")) return head + (await firstPiece(response));
  return head + `${(await response.blob()).size} bytes`;
}

/** A stream does not end: what it says first is enough here. */
async function firstPiece(response) {
  const reader = response.body.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value);
}

function described(path, method, operation) {
  const answers = Object.entries(operation.responses).map(([status, { description }]) => `${status} ${description}`);
  return element(
    "details",
    {},
    element("summary", {}, element("span", { className: "method", textContent: method.toUpperCase() }), element("code", { textContent: path }), ` ${operation.summary}`),
    element("p", { textContent: operation.description ?? "" }),
    element("p", { textContent: `Answers: ${answers.join(" · ")}` }),
    form(path, method, operation),
  );
}

const operations = document.querySelector("#operations");
const byTag = new Map();
for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags[0];
    byTag.set(tag, [...(byTag.get(tag) ?? []), described(path, method, operation)]);
  }
}
for (const [tag, entries] of byTag) operations.append(element("section", {}, element("h2", { textContent: tag }), ...entries));
operations.setAttribute("aria-busy", "false");

for (const [name, schema] of Object.entries(spec.components.schemas)) {
  document.querySelector("#shapes").append(element("details", {}, element("summary", { textContent: name }), element("pre", { textContent: pretty(schema) })));
}
