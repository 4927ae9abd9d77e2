// Has a running suite reconstruct a video, shows the progress, and tells a failure with its details.
//
//   node reconstruct.mjs VIDEO [HOST:PORT]

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [video, address = "127.0.0.1:8080"] = process.argv.slice(2);
if (!video) {
  console.error("usage: node reconstruct.mjs VIDEO [HOST:PORT]");
  process.exit(2);
}

const here = fileURLToPath(new URL(".", import.meta.url));
const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const contract = protoLoader.loadSync("epipar/scene/v1/job_service.proto", {
  ...options,
  includeDirs: [`${here}../../protos`],
});
const rpc = protoLoader.loadSync("google_rpc.proto", { ...options, includeDirs: [here] });
const { JobService } = grpc.loadPackageDefinition(contract).epipar.scene.v1;
const jobs = new JobService(address, grpc.credentials.createInsecure());

try {
  const upload = await uploadFile(video);
  const { job } = await start({ upload, request_id: crypto.randomUUID() });
  const ended = await watch(job.name);
  endProgress();
  console.log(JSON.stringify(ended, null, 2));
  if (ended.state === "STATE_SUCCEEDED") {
    console.error(`look at it: http://${address}/#/${ended.scene}`);
  } else {
    const { reason = "", message = "" } = ended.failure ?? {};
    console.error(`${ended.state} ${reason.replace("ERROR_REASON_", "")}: ${message}`);
    process.exitCode = 1;
  }
} catch (error) {
  endProgress();
  tellFailure(error);
  process.exitCode = 1;
}
jobs.close();

// tus 1.0 in two requests; tus-js-client does this for large files, and goes on after a break.
async function uploadFile(path) {
  const bytes = await readFile(path);
  const tus = { "Tus-Resumable": "1.0.0" };
  const name = Buffer.from(basename(path)).toString("base64");
  const made = await checked(`http://${address}/uploads`, {
    method: "POST",
    headers: { ...tus, "Upload-Length": bytes.length, "Upload-Metadata": `filename ${name}` },
  });
  const url = `http://${address}${new URL(made.headers.get("Location"), `http://${address}`).pathname}`;
  const headers = { ...tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
  const sent = await checked(url, { method: "PATCH", headers, body: bytes });
  return sent.headers.get("Epipar-Upload");
}

async function checked(url, init) {
  const response = await fetch(url, init);
  if (response.ok) return response;
  const { reason = response.status, message = "" } = await response.json().catch(() => ({}));
  throw new Error(`${reason}: ${message}`);
}

function start(request) {
  return new Promise((resolve, reject) => {
    jobs.StartReconstruction(request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// Follows a job to its end. A lost connection is taken up again after the last event that was seen.
async function watch(name) {
  for (let last = 0, attempt = 0; ; ) {
    const stream = jobs.WatchJob({ name, after_sequence: last });
    try {
      for await (const { sequence, job, progress } of stream) {
        if (sequence <= last) continue; // a heartbeat
        [last, attempt] = [sequence, 0];
        if (progress) showProgress(progress);
        if (/SUCCEEDED|FAILED|CANCELLED/.test(job?.state)) return job;
      }
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE && error.code !== grpc.status.INTERNAL) throw error;
      if (++attempt > 20) throw error;
    }
    await sleep(Math.random() * Math.min(200 * 2 ** attempt, 5000));
  }
}

// A terminal sees one line that changes, a log sees lines.
function showProgress({ step, progress: { stage, done, total, unit } }) {
  const text = `${step}: ${stage}${total > 0 ? ` ${done}/${total} ${unit}` : ""}`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function endProgress() {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}

function tellFailure(error) {
  const { info, violations } = detailsOf(error);
  const reason = info?.reason ?? grpc.status[error.code];
  console.error(reason ? `${reason}: ${error.details}` : error.message);
  for (const { field, description } of violations) console.error(`  ${field}: ${description}`);
  for (const [fact, value] of Object.entries(info?.metadata ?? {})) {
    console.error(`  ${fact} = ${value}`);
  }
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
