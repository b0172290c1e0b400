// Checks an evidence bundle with Go's own packages for notes and transparency logs.
//
//	check FOLDER [KEYS]
//
// FOLDER is the unpacked bundle. KEYS is a file of public keys, one on each line, that you got from
// elsewhere. Without it the bundle's own first key is believed, which proves only that the bundle
// does not contradict itself.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type item struct {
	Table     string `json:"table"`
	Segment   string `json:"segment"`
	LeafIndex int64  `json:"leaf_index"`
	Leaf      string `json:"leaf"`
	ID        string `json:"id"`
	Bytes     bool   `json:"bytes"`
	IDIn      string `json:"id_in"`
}

type manifest struct {
	Bundle    string `json:"bundle"`
	Lake      string `json:"lake"`
	Decisions []struct {
		ID        string              `json:"decision_id"`
		Record    *string             `json:"record"`
		Belongs   map[string][]string `json:"belongs"`
		Artifacts []struct {
			Digest string  `json:"digest"`
			Part   string  `json:"part"`
			File   *string `json:"file"`
		} `json:"artifacts"`
	} `json:"decisions"`
	Records map[string]item `json:"records"`
	LeftOut []struct {
		What   string `json:"what"`
		Detail string `json:"detail"`
	} `json:"left_out"`
	Files map[string]struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"files"`
}

var root string

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "NOT PROVEN: "+format+"\n", args...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func read(name string) []byte {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		fail("%q is no name of a file", name)
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	must(err, name)
	return data
}

type proof struct {
	index      int64
	path       []tlog.Hash
	checkpoint []byte
}

func hashes(lines []string, name string) []tlog.Hash {
	var found []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		must(err, name)
		found = append(found, hash)
	}
	return found
}

// parse reads a proof; word is what stands before its number.
func parse(name, head, word string) proof {
	text, checkpoint, ok := bytes.Cut(read(name), []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if head != "" {
		if lines[0] != head || len(lines) < 2 {
			fail("%s is no proof", name)
		}
		lines = lines[1:]
	}
	number, found := strings.CutPrefix(lines[0], word+" ")
	index, err := strconv.ParseInt(number, 10, 64)
	if !ok || !found || err != nil {
		fail("%s is no proof", name)
	}
	return proof{index, hashes(lines[1:], name), checkpoint}
}

// tree reads the text of a checkpoint: its origin and the tree that it is of.
func tree(text, name string) (string, tlog.Tree) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		fail("%s is no checkpoint", name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err, name)
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		fail("%s has no root", name)
	}
	return lines[0], tlog.Tree{N: size, Hash: tlog.Hash(hash)}
}

// text is what a note says, whoever signed it.
func text(data []byte, name string) string {
	at := bytes.LastIndex(data, []byte("\n\n"))
	if at < 0 {
		fail("%s is no note", name)
	}
	return string(data[:at+1])
}

// leads checks that the proof leads from a leaf to the root of exactly this checkpoint.
func leads(name string, leaf tlog.Hash, checkpoint []byte) proof {
	found := parse(name, "c2sp.org/tlog-proof@v1", "index")
	if !bytes.Equal(found.checkpoint, checkpoint) {
		fail("%s is a proof under another checkpoint", name)
	}
	_, of := tree(text(checkpoint, name), name)
	must(tlog.CheckRecord(found.path, of.N, of.Hash, found.index, leaf), name)
	return found
}

type key struct {
	vkey     string
	verifier note.Verifier
}

func newKey(vkey string) key {
	verifier, err := note.NewVerifier(vkey)
	must(err, "key "+vkey)
	return key{vkey, verifier}
}

// signed gives those of keys that signed a note. It fails where one of them signed another text.
func signed(data []byte, keys []key, name string) map[string]bool {
	found := map[string]bool{}
	if len(keys) == 0 {
		return found
	}
	var list []note.Verifier
	for _, one := range keys {
		list = append(list, one.verifier)
	}
	opened, err := note.Open(data, note.VerifierList(list...))
	if _, nobody := err.(*note.UnverifiedNoteError); nobody {
		return found
	}
	must(err, name)
	for _, by := range opened.Sigs {
		for _, one := range keys {
			if one.verifier.Name() == by.Name && one.verifier.KeyHash() == by.Hash {
				found[one.vkey] = true
			}
		}
	}
	return found
}

func has(keys []key, vkey string) bool {
	for _, one := range keys {
		if one.vkey == vkey {
			return true
		}
	}
	return false
}

func without(keys []key, vkey string) []key {
	var found []key
	for _, one := range keys {
		if one.vkey != vkey {
			found = append(found, one)
		}
	}
	return found
}

func pinned(path string) []key {
	var found []key
	data, err := os.ReadFile(path)
	must(err, path)
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			found = append(without(found, line), newKey(line))
		}
	}
	if len(found) == 0 {
		fail("%s has no key", path)
	}
	return found
}

// follow reads the changes of keys in order. It gives the keys that are trusted at the end, and
// all that the log ever had.
func follow(said manifest, checkpoint []byte, trusted []key, own bool) ([]key, []key) {
	var numbers []int64
	for name := range said.Files {
		number, ours := strings.CutPrefix(name, "log/key-changes/")
		number, entry := strings.CutSuffix(number, ".entry")
		if at, err := strconv.ParseInt(number, 10, 64); ours && entry && err == nil {
			numbers = append(numbers, at)
		}
	}
	sort.Slice(numbers, func(a, b int) bool { return numbers[a] < numbers[b] })
	var ever []key
	for _, number := range numbers {
		name := fmt.Sprintf("log/key-changes/%d", number)
		entry := read(name + ".entry")
		if leads(name+".tlog-proof", tlog.RecordHash(entry), checkpoint).index != number {
			fail("%s stands elsewhere in the log", name)
		}
		lines := strings.Split(text(entry, name), "\n")
		if len(lines) != 4 || lines[0] != "decision-forensics/"+said.Lake+"/key" {
			fail("%s is no change of keys", name)
		}
		action, vkey, _ := strings.Cut(lines[1], " ")
		changed := newKey(vkey)
		by := signed(entry, append(without(trusted, vkey), changed), name)
		remaining := 0
		for one := range by {
			if one != vkey {
				remaining++
			}
		}
		switch {
		case own && len(ever) == 0 && action == "add" && by[vkey]:
			trusted = []key{changed}
		case action == "add" && !has(trusted, vkey) && by[vkey] && remaining > 0:
			trusted = append(trusted, changed)
		case action == "retire" && remaining > 0:
			trusted = without(trusted, vkey)
		case own:
			fail("%s was made on nobody's word", name)
		}
		ever = append(without(ever, vkey), changed)
	}
	return trusted, ever
}

// values gives every text and number of a record.
func values(raw []byte) map[string]bool {
	found := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return found
		}
		switch value := token.(type) {
		case string:
			found[value] = true
		case json.Number:
			found[value.String()] = true
		}
	}
}

func files(said manifest) {
	seen := 0
	must(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		must(err, path)
		name, err := filepath.Rel(root, path)
		must(err, path)
		name = filepath.ToSlash(name)
		// What you put there to build this program is yours.
		if entry.IsDir() && name == "check/vendor" {
			return fs.SkipDir
		}
		if entry.IsDir() || name == "MANIFEST.json" || strings.HasPrefix(name, "check/") {
			return nil
		}
		if !entry.Type().IsRegular() {
			fail("%s is no file", name)
		}
		if _, known := said.Files[name]; !known {
			fail("%s is not in the manifest", name)
		}
		seen++
		return nil
	}), "files")
	for name, file := range said.Files {
		if strings.HasPrefix(name, "check/") {
			continue
		}
		seen--
		data := read(name)
		digest := sha256.Sum256(data)
		if int64(len(data)) != file.Size || hex.EncodeToString(digest[:]) != file.SHA256 {
			fail("%s has other bytes than the manifest says", name)
		}
	}
	if seen != 0 {
		fail("there are other files than the manifest says")
	}
}

func segment(said manifest, name string, checkpoint []byte, ever []key) (string, []byte) {
	folder := "log/segments/" + name
	entry := read(folder + "/entry")
	leads(folder+"/entry.tlog-proof", tlog.RecordHash(entry), checkpoint)
	origin, of := tree(text(entry, folder), folder)
	if origin != "decision-forensics/"+said.Lake+"/segment/"+name {
		fail("segment %s is %s", name, origin)
	}
	if len(signed(entry, ever, folder)) == 0 {
		fail("segment %s was signed by no key of the log", name)
	}
	written := read(folder + "/manifest.txt")
	if leads(folder+"/manifest.tlog-proof", tlog.RecordHash(written), entry).index != 0 {
		fail("the manifest of segment %s is none", name)
	}
	facts := map[string]string{}
	for _, line := range strings.Split(string(written), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		facts[word] = rest
	}
	records, err := strconv.ParseInt(facts["records"], 10, 64)
	if err != nil || facts["segment"] != name || facts["lake"] != said.Lake || records+1 != of.N {
		fail("the manifest of segment %s is that of another", name)
	}
	return facts["table"], entry
}

func anchors(said manifest, origin string, now tlog.Tree, checkpoint []byte) int {
	count := 0
	for name := range said.Files {
		folder, ours := strings.CutSuffix(name, "/consistency")
		if !ours || !strings.HasPrefix(folder, "log/anchors/") {
			continue
		}
		grown := parse(name, "", "old")
		of, before := tree(text(read(folder+"/checkpoint"), folder), folder)
		if of != origin || before.N != grown.index || !bytes.Equal(grown.checkpoint, checkpoint) {
			fail("%s is of another log", folder)
		}
		must(tlog.CheckTree(grown.path, now.N, now.Hash, before.N, before.Hash), folder)
		if _, stamped := said.Files[folder+"/timestamp.tsr"]; stamped {
			data := read(folder + "/stamped")
			if _, same := tree(text(data, folder), folder); same != before {
				fail("%s: the timestamp is of another checkpoint", folder)
			}
			digest := sha256.Sum256(data)
			if !bytes.Contains(read(folder+"/timestamp.tsr"), digest[:]) {
				fail("%s: the timestamp is of something else", folder)
			}
			fmt.Printf("to check with openssl: %s/timestamp.tsr of %s/stamped\n", folder, folder)
		}
		count++
	}
	return count
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fail("usage: check FOLDER [KEYS]")
	}
	root = os.Args[1]
	var said manifest
	must(json.Unmarshal(read("MANIFEST.json"), &said), "MANIFEST.json")
	if said.Bundle != "decision-forensics/bundle/1" || len(said.Records) == 0 {
		fail("no bundle, or one without records")
	}
	files(said)
	own := len(os.Args) == 2
	var trusted []key
	if !own {
		trusted = pinned(os.Args[2])
	}
	checkpoint := read("log/checkpoint")
	origin, of := tree(text(checkpoint, "log/checkpoint"), "log/checkpoint")
	if origin != "decision-forensics/"+said.Lake {
		fail("the checkpoint is of %s, another lake", origin)
	}
	trusted, ever := follow(said, checkpoint, trusted, own)
	if len(signed(checkpoint, trusted, "log/checkpoint")) == 0 {
		fail("the checkpoint is not signed by a key that is trusted")
	}
	tables, entries := map[string]string{}, map[string][]byte{}
	for _, one := range said.Records {
		if _, known := entries[one.Segment]; !known {
			tables[one.Segment], entries[one.Segment] = segment(said, one.Segment, checkpoint, ever)
		}
	}
	proven := 0
	for folder, one := range said.Records {
		if folder != fmt.Sprintf("records/%s-%d", one.Segment, one.LeafIndex) {
			fail("%s is not where it belongs", folder)
		}
		leaf, err := hex.DecodeString(one.Leaf)
		if err != nil || len(leaf) != tlog.HashSize || string(read(folder+"/leaf")) != one.Leaf+"\n" {
			fail("%s has no leaf", folder)
		}
		if one.Bytes {
			raw := read(folder + "/record.json")
			inner := sha256.Sum256(append(read(folder+"/salt.bin"), raw...))
			made := tlog.RecordHash(append([]byte("decision-forensics/leaf/1\n"), inner[:]...))
			if !bytes.Equal(made[:], leaf) {
				fail("%s: the received bytes are not those of the leaf", folder)
			}
			if one.IDIn != "columns" && !values(raw)[one.ID] {
				fail("%s: the bytes are those of another record than %s", folder, one.ID)
			}
			proven++
		}
		at := leads(folder+"/record.tlog-proof", tlog.Hash(leaf), entries[one.Segment]).index
		if at != one.LeafIndex || at == 0 || tables[one.Segment] != one.Table {
			fail("%s stands elsewhere", folder)
		}
	}
	for _, decision := range said.Decisions {
		for _, kind := range []string{"overrides", "outcomes"} {
			for _, folder := range decision.Belongs[kind] {
				if said.Records[folder].ID != decision.ID {
					fail("%s is given to %s", folder, decision.ID)
				}
			}
		}
		var raw []byte
		if decision.Record != nil {
			one, known := said.Records[*decision.Record]
			if !known {
				fail("%s has no record", decision.ID)
			}
			if one.ID != decision.ID {
				fail("%s has the record of %s", decision.ID, one.ID)
			}
			if one.Bytes {
				raw = read(*decision.Record + "/record.json")
			}
		}
		for _, one := range decision.Artifacts {
			named := strings.HasPrefix(one.Part, "named by ")
			if raw != nil && !named && !bytes.Contains(raw, []byte(one.Digest)) {
				fail("the record of %s names no artifact %s", decision.ID, one.Digest)
			}
			if one.File != nil {
				digest := sha256.Sum256(read(*one.File))
				if "sha256:"+hex.EncodeToString(digest[:]) != one.Digest {
					fail("%s is another artifact", *one.File)
				}
			}
		}
	}
	vouched := anchors(said, origin, of, checkpoint)
	fmt.Printf("%d records are in the log %s of %d entries", len(said.Records), origin, of.N)
	fmt.Printf(", %d of them with their received bytes; %d anchors\n", proven, vouched)
	for _, left := range said.LeftOut {
		fmt.Printf("not in the bundle: %s: %s\n", left.What, left.Detail)
	}
	if own {
		fmt.Println("BUT the key came with the bundle: compare keys.txt with one from elsewhere")
	}
}
