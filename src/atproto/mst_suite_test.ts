import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readCar } from "./car.ts";
import { type Cid, cidToString, parseCid } from "./cid.ts";
import { MemoryBlocks } from "./memory_blocks.ts";
import { buildTree, decodeNode, diffTrees, encodeNode, MstTree, proveKey, walkTree } from "./mst/mod.ts";

/** https://github.com/DavidBuchanan314/mst-test-suite */
const SUITE = join(import.meta.dir, "../../../shared/vectors/mst-test-suite");

interface DiffCase {
  file: string;
  inputs: { mst_a: string; mst_b: string };
  results: {
    created_nodes: string[];
    deleted_nodes: string[];
    record_ops: { rpath: string; old_value: string | null; new_value: string | null }[];
    proof_nodes: string[];
    inductive_proof_nodes: string[];
  };
}

function texts(cids: Iterable<Cid | { cid: Cid }>): string[] {
  return [...new Set([...cids].map((item) => cidToString("cid" in item ? item.cid : item)))].sort();
}

class Tree extends MemoryBlocks {
  root!: Cid;
}

function readTree(path: string): Tree {
  const { roots, blocks } = readCar(readFileSync(path));
  return Object.assign(new Tree(blocks), { root: roots[0] as Cid });
}

function readCars(): Map<string, Tree> {
  const folder = join(SUITE, "cars/exhaustive");
  return new Map(
    readdirSync(folder).map((name) => [`./cars/exhaustive/${name}`, readTree(join(folder, name))]),
  );
}

if (existsSync(SUITE)) {
  const cars = readCars();
  const car = (path: string) => cars.get(path) as Tree;
  const cases = readFileSync(join(SUITE, "diff-dev.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as DiffCase);

  test("the suite is whole", () => {
    expect([cars.size, cases.length]).toEqual([128, 1035]);
  });

  test("walkTree() and buildTree() agree on every tree of the suite, and each node encodes as it was", () => {
    for (const { root, ...rest } of [...cars.values()].map((blocks) => ({ root: blocks.root, blocks }))) {
      const items = [...walkTree(rest.blocks, root, { verify: true })];
      const built = buildTree(
        items.flatMap((item) => (item.kind === "entry" ? [[item.key, item.value]] : [])),
      );
      expect(cidToString(built.root)).toBe(cidToString(root));
      const walked = items.flatMap((item) => (item.kind === "node" ? [item.block] : []));
      expect(texts(built.nodes)).toEqual(texts(walked));
      for (const { bytes } of walked) {
        expect(Buffer.compare(encodeNode(decodeNode(bytes)), bytes)).toBe(0);
      }
    }
  });

  test("diffTrees() finds the ops, the created and the deleted nodes of every case", () => {
    for (const { file, inputs, results } of cases) {
      const [a, b] = [car(inputs.mst_a), car(inputs.mst_b)];
      const blocks = { get: (cid: Cid) => a.get(cid) ?? b.get(cid) };
      const diff = diffTrees({ blocks, from: a.root, to: b.root });
      const found = {
        created_nodes: texts(diff.created),
        deleted_nodes: texts(diff.removed),
        record_ops: diff.changes.map(({ key, from, to }) => ({
          rpath: key,
          old_value: from && cidToString(from),
          new_value: to && cidToString(to),
        })),
      };
      const { created_nodes, deleted_nodes, record_ops } = results;
      expect({ file, ...found }).toEqual({ file, created_nodes, deleted_nodes, record_ops });
    }
  });

  test("MstTree applies every case with exactly its nodes, and covers its inversion", () => {
    let needed = 0;
    let given = 0;
    for (const { file, inputs, results } of cases) {
      const [a, b] = [car(inputs.mst_a), car(inputs.mst_b)];
      const tree = new MstTree(a.root, a);
      for (const { rpath, new_value } of results.record_ops) {
        if (new_value) tree.put(rpath, parseCid(new_value));
        else tree.delete(rpath);
      }
      const change = tree.finish();
      const { created_nodes, deleted_nodes } = results;
      expect({ file, root: cidToString(change.root) }).toEqual({ file, root: cidToString(b.root) });
      expect({ file, created: texts(change.created) }).toEqual({ file, created: created_nodes });
      expect({ file, removed: texts(change.removed) }).toEqual({ file, removed: deleted_nodes });
      const proof = tree.coveringProof(results.record_ops.map((op) => op.rpath));
      const sent = texts([...change.created, ...proof]);
      expect(sent).toEqual(expect.arrayContaining(results.inductive_proof_nodes));
      needed += new Set([...results.inductive_proof_nodes, ...created_nodes]).size;
      given += sent.length;
      const back = new MstTree(change.root, new MemoryBlocks([...change.created, ...proof]));
      for (const { rpath, old_value } of results.record_ops) {
        if (old_value) back.put(rpath, parseCid(old_value));
        else back.delete(rpath);
      }
      expect(cidToString(back.finish().root)).toBe(cidToString(a.root));
    }
    expect(given / needed).toBeLessThan(1.1);
    if (process.env.SHOW) console.log({ needed, given });
  });

  test("proveKey() gives the proof nodes of every case, and no others for records that are there", () => {
    for (const { file, inputs, results } of cases) {
      const b = car(inputs.mst_b);
      const proofs = results.record_ops.map((op) => proveKey(b, b.root, { key: op.rpath }));
      const values = proofs.map((proof) => proof.value && cidToString(proof.value));
      expect(values).toEqual(results.record_ops.map((op) => op.new_value));
      const nodes = texts(proofs.flatMap((proof) => proof.nodes));
      // a proof of absence goes on to the lowest layer, since consumers that do not hash the key look there
      expect(nodes).toEqual(expect.arrayContaining(results.proof_nodes));
      if (results.record_ops.every((op) => op.new_value)) {
        expect({ file, nodes }).toEqual({ file, nodes: results.proof_nodes });
      }
    }
  });
} else {
  console.log("mst_suite_test: no ../shared/vectors/mst-test-suite, it was not run");
}
