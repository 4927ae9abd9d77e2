// tus-js-client under Node: node tus_client.cjs VIEWER URL FILE MODE; prints one line of JSON.
'use strict';
const fs = require('node:fs');
const { createRequire } = require('node:module');

const [viewer, endpoint, file, mode] = process.argv.slice(2);
const { Upload } = createRequire(`${viewer}/package.json`)('tus-js-client');
const { size } = fs.statSync(file);
const chunkSize = mode === 'whole' ? Infinity : 4 * 1024 * 1024;

const say = (facts) => console.log(JSON.stringify(facts));
const seen = { progress: 0, status: 0, upload: '' };

function begin(more) {
  const upload = new Upload(fs.createReadStream(file), {
    endpoint,
    chunkSize,
    uploadSize: size,
    retryDelays: [0, 50, 100, 500, 1000],
    metadata: { filename: 'clip.mp4', filetype: 'video/mp4' },
    uploadDataDuringCreation: mode === 'creation',
    onProgress: (sent) => {
      seen.progress = sent;
    },
    onAfterResponse: (_request, response) => {
      seen.status = response.getStatus();
      seen.upload = response.getHeader('Epipar-Upload') ?? seen.upload;
    },
    onError: (error) => say({ failed: String(error), status: error.originalResponse?.getStatus() }),
    onSuccess: () => say({ url: upload.url, ...seen }),
    ...more,
  });
  return upload;
}

if (mode === 'abort') {
  // Stop in the middle, then go on by the address alone, as after a reload.
  let stopped = false;
  const first = begin({
    onSuccess: () => say({ failed: 'was not stopped' }),
    onChunkComplete: async (_chunk, accepted) => {
      if (stopped || accepted < size / 3) return;
      stopped = true;
      await first.abort();
      begin({ endpoint: undefined, uploadUrl: first.url }).start();
    },
  });
  first.start();
} else if (mode === 'terminate') {
  let stopped = false;
  const upload = begin({
    onChunkComplete: async () => {
      if (stopped) return;
      stopped = true;
      await upload.abort(true);
      say({ url: upload.url, ended: true });
    },
  });
  upload.start();
} else {
  begin({}).start();
}
