package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

// A folder of tlog-tiles, as the checksum database's code wants to read tiles: same hashes, but
// the height is not part of the path. Data that was read once is kept: tlog authenticates it anew
// each time it asks.
type folder struct {
	root string
	held map[tlog.Tile][]byte
}

func (f *folder) Height() int { return height }

func (f *folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f *folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if f.held[tile] == nil {
			read, err := f.read(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
			if err != nil {
				return nil, err
			}
			// Of a partial tile that was filled since, the full one remains, and begins with it.
			if wanted := tile.W * tlog.HashSize; len(read) == width*tlog.HashSize {
				read = read[:wanted]
			}
			f.held[tile] = read
		}
		data[i] = f.held[tile]
	}
	return data, nil
}

// read gives a file's bytes, those of the full tile where the partial one is gone.
func (f *folder) read(path string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(f.root, path))
	full, _, partial := strings.Cut(path, ".p/")
	if partial && errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(filepath.Join(f.root, full))
	}
	return data, err
}

// entries gives the entries of bundle n in a tree of that size; nothing may be left over.
func (f *folder) entries(n, size int64) ([][]byte, error) {
	bundle := tlog.Tile{H: height, L: -1, N: n, W: int(min(width, size-n*width))}
	path := strings.Replace(bundle.Path(), "tile/8/data/", "tile/entries/", 1)
	data, err := f.read(path)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%s: torn", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if len(entries) != bundle.W {
		return nil, fmt.Errorf("%s: %d entries, %d expected", path, len(entries), bundle.W)
	}
	return entries, nil
}

// checkpoint reads a file as the signed head of the tree of the log that the key names.
func checkpoint(path string, key note.Verifier) (tlog.Tree, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := note.Open(raw, note.VerifierList(key))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != key.Name() {
		return tlog.Tree{}, fmt.Errorf("%s: not a checkpoint of %s", path, key.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return tlog.Tree{}, fmt.Errorf("%s: size", path)
	}
	raw, err = base64.StdEncoding.DecodeString(lines[2])
	root, ok := hash(raw)
	if err != nil || !ok {
		return tlog.Tree{}, fmt.Errorf("%s: root", path)
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

func verifyLog(vkey, path string, older []string) error {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	head, err := checkpoint(filepath.Join(path, "checkpoint"), key)
	if err != nil {
		return err
	}
	files := &folder{path, map[tlog.Tile][]byte{}}
	if err := verifyEntries(files, head); err != nil {
		return err
	}
	for _, name := range older {
		old, err := checkpoint(name, key)
		if err == nil {
			err = verifyExtends(files, head, old)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Printf("%d entries under %v; extends %d older\n", head.N, head.Hash, len(older))
	return nil
}

// verifyEntries computes the whole tree anew from the entries alone, and proves each of them
// from the stored tiles.
func verifyEntries(files *folder, head tlog.Tree) error {
	var computed hashes
	tiles := tlog.TileHashReader(head, files)
	for n := int64(0); n*width < head.N; n++ {
		entries, err := files.entries(n, head.N)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := n*width + int64(i)
			added, err := tlog.StoredHashes(index, entry, computed)
			if err != nil {
				return err
			}
			computed = append(computed, added...)
			proof, err := tlog.ProveRecord(head.N, index, tiles)
			if err == nil {
				err = tlog.CheckRecord(proof, head.N, head.Hash, index, tlog.RecordHash(entry))
			}
			if err != nil {
				return fmt.Errorf("index %d: %w", index, err)
			}
		}
	}
	root, err := tlog.TreeHash(head.N, computed)
	if err == nil && root != head.Hash {
		err = errors.New("the entries do not lead to the signed root")
	}
	return err
}

// verifyExtends proves that the present tree begins with the old one, also from the old one's
// own tiles.
func verifyExtends(files *folder, head, old tlog.Tree) error {
	if old.N == 0 { // the start of every log; there is nothing to prove
		return nil
	}
	proof, err := tlog.ProveTree(head.N, old.N, tlog.TileHashReader(head, files))
	if err == nil {
		err = tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash)
	}
	if err != nil {
		return err
	}
	_, err = tlog.TileHashReader(old, files).ReadHashes([]int64{tlog.StoredHashIndex(0, old.N-1)})
	return err
}

// hashes is a tree in memory, as tlog numbers its hashes.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(h)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[i] = h[index]
	}
	return found, nil
}
