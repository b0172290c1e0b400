// Checks a proof of one record, and the log it is from, with Go's own packages alone.
package main

import (
	"bytes"
	"check/note"
	"check/tlog"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		fail("%v", err)
	}
	return data
}

type proof struct {
	index      int64
	path       tlog.RecordProof
	checkpoint []byte
}

func parse(data []byte) proof {
	head, checkpoint, ok := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("no proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		fail("%v", err)
	}
	found := proof{index: index, checkpoint: checkpoint}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			fail("%v", err)
		}
		found.path = append(found.path, hash)
	}
	return found
}

func open(checkpoint []byte, keys note.Verifiers) (string, tlog.Tree) {
	opened, err := note.Open(checkpoint, keys)
	if err != nil {
		fail("%v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("%v", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		fail("no root")
	}
	return lines[0], tlog.Tree{N: size, Hash: tlog.Hash(root)}
}

func check(found proof, entry []byte, keys note.Verifiers) string {
	origin, tree := open(found.checkpoint, keys)
	hash := tlog.RecordHash(entry)
	if err := tlog.CheckRecord(found.path, tree.N, tree.Hash, found.index, hash); err != nil {
		fail("%v", err)
	}
	return origin
}

type folder struct{ root string }

func (f folder) Height() int                                 { return 8 }
func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte)  {}
func (f folder) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data = append(data, read(f.root, path))
	}
	return data, nil
}

func main() {
	proofs, log, vkey := os.Args[1], os.Args[2], os.Args[3]
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		fail("%v", err)
	}
	keys := note.VerifierList(verifier)
	digest := sha256.Sum256(append(read(proofs, "salt.bin"), read(proofs, "record.json")...))
	entry := append([]byte("decision-forensics/leaf/1\n"), digest[:]...)
	if !bytes.Equal(entry, read(proofs, "record.entry")) {
		fail("the record is not the one of its entry")
	}
	record := parse(read(proofs, "record.tlog-proof"))
	inner := check(record, entry, keys)
	manifest := parse(read(proofs, "manifest.tlog-proof"))
	if manifest.index != 0 || check(manifest, read(proofs, "manifest.txt"), keys) != inner {
		fail("the manifest is not that of the segment")
	}
	segment := parse(read(proofs, "segment.tlog-proof"))
	if !bytes.Equal(record.checkpoint, read(proofs, "segment.entry")) {
		fail("the segment is not the one of its entry")
	}
	outer := check(segment, record.checkpoint, keys)
	if !strings.HasPrefix(inner, outer+"/segment/") {
		fail("the segment is of another log")
	}
	_, tree := open(read(log, "checkpoint"), keys)
	reader := tlog.TileHashReader(tree, folder{log})
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		fail("the tiles do not give the root: %v", err)
	}
	_, old := open(segment.checkpoint, keys)
	path, err := tlog.ProveTree(tree.N, old.N, reader)
	if err == nil {
		err = tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash)
	}
	if err != nil {
		fail("%v", err)
	}
	fmt.Printf("record %d of %s is in entry %d of %d\n", record.index, inner, segment.index, tree.N)
}
