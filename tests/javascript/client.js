// A client of grpc-js, made from the .proto files: every call of an endpoint that a fake or a proxy serves.
//
//     fake-dfdaemon run -- node tests/javascript/client.js PROTO_DIRECTORY
//
// It takes the packages @grpc/grpc-js and @grpc/proto-loader: `make interop` installs them.
const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const PIECE = 4 << 20;

const definition = loader.loadSync('dfdaemon.proto', {
  includeDirs: [process.argv[2]],
  keepCase: true,
  longs: Number,
  oneofs: true,
});
const { dfdaemon } = grpc.loadPackageDefinition(definition);
const endpoint = process.env.DFCACHE_ENDPOINT;
const client = new dfdaemon.v2.DfdaemonDownload(`unix:${endpoint}`, grpc.credentials.createInsecure(), {
  'grpc.max_receive_message_length': -1,
});
const within = () => ({ deadline: Date.now() + 30_000 });

function call(method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, within(), (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function exported(request) {
  return new Promise((resolve, reject) => {
    const messages = [];
    const stream = client.DownloadPersistentCacheTask(request, within());
    stream.on('data', (message) => messages.push(message));
    stream.on('error', reject);
    stream.on('end', () => resolve(messages));
  });
}

async function assertRefused(answer, text) {
  const error = await answer.then(() => assert.fail('it succeeded'), (error) => error);
  assert.equal(error.code, grpc.status.INTERNAL, error);
  assert.ok(error.details.includes(text), error.details);
}

async function main(dir) {
  const source = path.join(dir, 'source');
  const bytes = crypto.createHash('shake256', { outputLength: 2 * PIECE + 7 }).update('grpc-js').digest();
  fs.writeFileSync(source, bytes);

  const upload = { path: source, persistent_replica_count: 1, ttl: { seconds: 3600 }, tag: 'js' };
  const task = await call('UploadPersistentCacheTask', upload);
  assert.deepEqual([task.state, task.content_length, task.piece_count], ['Succeeded', bytes.length, 3]);
  await assertRefused(call('UploadPersistentCacheTask', upload), 'is Succeeded cannot upload');

  const stated = await call('StatPersistentCacheTask', { task_id: task.id });
  assert.deepEqual([stated.id, stated.tag], [task.id, 'js']);
  await assertRefused(call('StatPersistentCacheTask', { task_id: '404' }), 'persistent cache task 404 not found');

  const [started, ...finished] = await exported({ task_id: task.id, need_piece_content: true });
  assert.equal(started.download_persistent_cache_task_started_response.content_length, bytes.length);
  const pieces = finished.map((message) => message.download_piece_finished_response.piece);
  pieces.sort((a, b) => a.number - b.number);
  assert.ok(Buffer.concat(pieces.map((piece) => piece.content)).equals(bytes));

  const output = path.join(dir, 'output');
  await exported({ task_id: task.id, output_path: output });
  assert.ok(fs.readFileSync(output).equals(bytes));
  await assertRefused(exported({ task_id: '404', output_path: output }), 'persistent cache task 404 not found');

  const listed = await call('ListLocalPersistentCacheTasks', {});
  assert.ok(listed.tasks.some((local) => local.task_id === task.id));
}

const dir = process.argv[3] ?? fs.mkdtempSync(path.join(os.tmpdir(), 'grpc-js-'));
main(dir)
  .then(() => console.log(`grpc-js at ${path.basename(endpoint)}: imported, stated, transferred, exported by path and listed`))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => {
    client.close();
    if (!process.argv[3]) fs.rmSync(dir, { recursive: true });
  });
