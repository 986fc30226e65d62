/** An S3 server, in a Node process of its own: `node s3_process.cjs PACKAGE FOLDER PORT`. Prints its URL. */
const [packageName, directory, port] = process.argv.slice(2);
const S3rver = require(packageName);

new S3rver({
  address: "127.0.0.1",
  port: Number(port),
  silent: true,
  directory,
  vhostBuckets: false,
  configureBuckets: [{ name: "blobs" }],
})
  .run()
  .then(({ port: bound }) => console.log(`S3 http://127.0.0.1:${bound}`));
