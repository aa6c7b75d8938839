package sqlite

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/store"
)

// The length of a blob is in its row's header: the blob is not read.
var qFileBytes = &query{`SELECT coalesce(sum(length(content)), 0) FROM files WHERE id = ? AND app_id = ?`}

// FileBytes implements store.Queue.
func (s *Store) FileBytes(ctx context.Context, messages []store.Ref) (out []int64, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([]int64, len(messages))
		for i := range messages {
			row, err := r.one(qFileBytes, messages[i].ID[:], messages[i].App[:])
			if err != nil {
				return err
			}
			out[i] = num(row[0])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sizes of files: %w", err)
	}
	return out, nil
}
