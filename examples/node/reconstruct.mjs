// Reconstructs a video over gRPC, shows the progress, and tells a failure with its details.
//
//   node reconstruct.mjs INPUT_KEY SCENE_KEY [HOST:PORT]

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [input, output, address = "127.0.0.1:50051"] = process.argv.slice(2);
if (!input || !output) {
  console.error("usage: node reconstruct.mjs INPUT_KEY SCENE_KEY [HOST:PORT]");
  process.exit(2);
}

const here = fileURLToPath(new URL(".", import.meta.url));
const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const contract = protoLoader.loadSync("epipar/depth/v1/depth_service.proto", {
  ...options,
  includeDirs: [`${here}../../protos`],
});
const rpc = protoLoader.loadSync("google_rpc.proto", { ...options, includeDirs: [here] });
const { DepthService } = grpc.loadPackageDefinition(contract).epipar.depth.v1;

const client = new DepthService(address, grpc.credentials.createInsecure());
const call = client.Predict({ input_uri: input, output_uri: output });
process.once("SIGINT", () => call.cancel());

call.on("data", ({ progress, result }) => {
  if (progress) {
    const { stage, done, total, unit } = progress;
    showProgress(total > 0 ? `${stage} ${done}/${total} ${unit}` : stage);
  } else if (result) {
    endProgress();
    console.log(JSON.stringify(result, null, 2));
  }
});

call.on("error", (error) => {
  endProgress();
  const { info, violations } = detailsOf(error);
  console.error(`${info?.reason ?? grpc.status[error.code]}: ${error.details}`);
  for (const { field, description } of violations) console.error(`  ${field}: ${description}`);
  for (const [fact, value] of Object.entries(info?.metadata ?? {})) {
    console.error(`  ${fact} = ${value}`);
  }
  process.exitCode = 1;
});

// A terminal sees one line that changes, a log sees lines.
function showProgress(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function endProgress() {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}

// Unpack what the service said beyond code and text.
function detailsOf(error) {
  const packed = error.metadata?.get("grpc-status-details-bin")?.[0];
  const details = packed ? rpc["google.rpc.Status"].deserialize(packed).details : [];
  const unpack = (name) =>
    details
      .filter((detail) => detail.type_url.endsWith(`/google.rpc.${name}`))
      .map((detail) => rpc[`google.rpc.${name}`].deserialize(detail.value));
  return {
    info: unpack("ErrorInfo")[0],
    violations: unpack("BadRequest").flatMap((bad) => bad.field_violations),
  };
}
