package gossip

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Keys encrypt gossip. The primary one encrypts what this process sends; each of them may
// decrypt what it receives. To rotate without downtime, give every process the new
// key ([Keys.Install]), then let every one use it ([Keys.Use]), then take the old one away ([Keys.Remove]). [Config.KeyFile] does
// so with the lines of a file.
//
// Keys are safe for concurrent use, also while the gossip runs.
type Keys struct {
	mu   sync.Mutex
	ring *memberlist.Keyring
}

// maxKeys bounds a ring: each is tried on each packet.
const maxKeys = 8

// ErrNoKey is returned when a key is not installed.
var ErrNoKey = errors.New("gossip: the key is not installed")

// NewKeys makes a ring. Keys have 16, 24 or 32 random bytes, for AES-128, AES-192 or AES-256.
func NewKeys(primary []byte, others ...[]byte) (*Keys, error) {
	ring, err := memberlist.NewKeyring(nil, slices.Clone(primary))
	if err != nil {
		return nil, fmt.Errorf("gossip: the primary key: %w", err)
	}
	k := &Keys{ring: ring}
	for _, key := range append([][]byte{primary}, others...) {
		if err := k.Install(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// replace makes these the keys, the first of them the primary one. What is not among them goes last: what peers send
// meanwhile is understood.
func (k *Keys) replace(keys [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if err := k.ring.AddKey(slices.Clone(key)); err != nil {
			return err
		}
	}
	if err := k.ring.UseKey(slices.Clone(keys[0])); err != nil {
		return err
	}
	for _, former := range slices.Clone(k.ring.GetKeys()) {
		if slices.ContainsFunc(keys, func(key []byte) bool { return slices.Equal(key, former) }) {
			continue
		}
		if err := k.putLast(former); err != nil {
			return err
		}
		if err := k.ring.RemoveKey(former); err != nil {
			return err
		}
	}
	return nil
}

// Install adds a key that peers may use.
func (k *Keys) Install(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ring.GetKeys()) >= maxKeys && !k.has(key) {
		return fmt.Errorf("gossip: %d keys are installed; remove one before another comes", maxKeys)
	}
	if err := k.ring.AddKey(slices.Clone(key)); err != nil {
		return fmt.Errorf("gossip: install a key: %w", err)
	}
	return nil
}

// Use makes an installed key the primary one.
func (k *Keys) Use(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.has(key) {
		return ErrNoKey
	}
	return k.ring.UseKey(key)
}

// Remove takes away a key that is not the primary one.
func (k *Keys) Remove(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.has(key) {
		return ErrNoKey
	}
	if slices.Equal(k.ring.GetPrimaryKey(), key) {
		return errors.New("gossip: the key is in use; use another one before it goes")
	}
	if err := k.putLast(key); err != nil {
		return err
	}
	return k.ring.RemoveKey(key)
}

// putLast makes a key the last of the ring. memberlist removes a key by moving the ones behind it,
// in a list that its readers hold without a lock; behind the last there is none.
func (k *Keys) putLast(key []byte) error {
	keys := slices.Clone(k.ring.GetKeys())
	if slices.Equal(keys[len(keys)-1], key) {
		return nil
	}
	for _, other := range slices.Backward(keys) {
		if slices.Equal(other, key) {
			continue
		}
		if err := k.ring.UseKey(other); err != nil {
			return err
		}
	}
	return nil // the primary key was the first, so it is again
}

// List names the keys by a part of their hash, the primary one first.
func (k *Keys) List() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return namesOf(k.ring.GetKeys())
}

func namesOf(keys [][]byte) []string {
	var names []string
	for _, key := range keys {
		sum := sha256.Sum256(key)
		names = append(names, hex.EncodeToString(sum[:4]))
	}
	return names
}

func (k *Keys) has(key []byte) bool {
	return slices.ContainsFunc(k.ring.GetKeys(), func(other []byte) bool { return slices.Equal(other, key) })
}
