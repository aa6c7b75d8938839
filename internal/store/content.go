package store

import (
	"encoding/json"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
)

// EncodeContent is the stored form of a message's content. Attachments are stored beside it.
func EncodeContent(c *comm.Content) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode content: %w", err)
	}
	return b, nil
}

// DecodeContent reads the stored form.
func DecodeContent(b []byte, c *comm.Content) error {
	if err := json.Unmarshal(b, c); err != nil {
		return fmt.Errorf("decode content: %w", err)
	}
	return nil
}
