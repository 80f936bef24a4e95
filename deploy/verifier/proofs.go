package main

import (
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// A claim is one proof with what it claims; hashes are in base64, sizes and index in leaves.
// With a leaf it claims inclusion under root, else that the tree of size extends that of old.
type claim struct {
	Size    int64    `json:"size"`
	Root    []byte   `json:"root"`
	Index   int64    `json:"index"`
	Leaf    []byte   `json:"leaf"`
	Old     int64    `json:"old"`
	OldRoot []byte   `json:"old_root"`
	Proof   [][]byte `json:"proof"`
}

func (c claim) holds() bool {
	root, ok := hash(c.Root)
	if !ok {
		return false
	}
	path := make([]tlog.Hash, len(c.Proof))
	for i, one := range c.Proof {
		if path[i], ok = hash(one); !ok {
			return false
		}
	}
	if c.Leaf != nil {
		leaf, ok := hash(c.Leaf)
		return ok && tlog.CheckRecord(path, c.Size, root, c.Index, leaf) == nil
	}
	old, ok := hash(c.OldRoot)
	return ok && tlog.CheckTree(path, c.Size, root, c.Old, old) == nil
}

func hash(raw []byte) (h tlog.Hash, ok bool) {
	return h, copy(h[:], raw) == tlog.HashSize && len(raw) == tlog.HashSize
}

func verifyProofs(lines io.Reader, verdicts io.Writer) error {
	decoder := json.NewDecoder(lines)
	for {
		var c claim
		if err := decoder.Decode(&c); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Fprintln(verdicts, c.holds())
	}
}
