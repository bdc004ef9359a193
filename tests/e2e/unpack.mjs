// Unpacks the Chromium that comes as the content of an npm package into the directory named by TMPDIR:
// the program `chromium`, its libraries (`al2023/lib`, for LD_LIBRARY_PATH) and fonts (`fonts.conf`, for
// FONTCONFIG_FILE), which a machine without a desktop does not have.
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { inflate } from "@sparticuz/chromium";

const packed = join(dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))), "..", "bin");

for (const part of ["chromium.br", "al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"]) {
  await inflate(join(packed, part));
}

// The one in the package names directories of another machine; without any font all text stays invisible.
await writeFile(
  join(tmpdir(), "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(tmpdir(), "fonts")}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${join(tmpdir(), "fonts-cache")}</cachedir>
</fontconfig>
`,
);
