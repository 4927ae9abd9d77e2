// Prints gltf-validator's report of each GLB as one JSON line: node validate.mjs FILE.glb...
import { readFile } from "node:fs/promises";
import validator from "gltf-validator";

for (const file of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(await readFile(file)));
  console.log(JSON.stringify(report.issues));
}
