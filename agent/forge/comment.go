package forge

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// comment is a comment of a pull request.
type comment struct {
	id     int64
	author string
	body   string
}

// markerName can stand in a comment of HTML.
var markerName = regexp.MustCompile(`^[a-z0-9]+([./-][a-z0-9]+)*$`)

// Comment keeps one comment of a pull request up to date. The marker tells it from our others, such as
// plan; it is put before the body where nobody sees it. The comment with the marker at its beginning
// that was written by ourselves is edited; if it has that body already when it is looked for, nothing is
// written, and if there is none it is made. One that somebody else writes with our marker is not touched. An error is Refused
// if it is not among the first 2,000 comments and there are more.
func (f *Forge) Comment(ctx context.Context, number int, marker, body string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	self, err := f.whoami(ctx)
	if err != nil {
		return err
	}
	return f.call(ctx, fmt.Sprintf("comment on pull request %d", number), toComment, func(ctx context.Context) error {
		first := "<!-- sluice:" + marker + " -->"
		text := first + "\n" + body
		switch most := f.provider.limits().body; {
		case !markerName.MatchString(marker):
			return errorf(Invalid, "the marker %q cannot be hidden: use small letters, digits, and single . / - between them", printable(marker))
		case len(text) > most:
			return errorf(Invalid, "the comment has %d bytes, and the forge takes %d: shorten it", len(text), most)
		}
		key := commentKey{number, marker}
		if id, known := f.comments[key]; known {
			err := f.provider.editComment(ctx, number, id, text)
			if !isKind(err, NotFound) {
				return err
			}
			delete(f.comments, key) // somebody has deleted it
		}
		have, found, err := f.ours(ctx, number, self, first)
		if err != nil {
			return err
		}
		if !found {
			return f.provider.addComment(ctx, number, text)
		}
		f.know(key, have.id)
		if same(have.body, text) {
			return nil
		}
		return f.provider.editComment(ctx, number, have.id, text)
	})
}

// commentKey names one of our comments.
type commentKey struct {
	number int
	marker string
}

// mostComments is how many of them are known where they are; then it is begun anew.
const mostComments = 1000

// know keeps where one of our comments is, so that it is not looked for again. Whoever calls holds the
// lock.
func (f *Forge) know(key commentKey, id int64) {
	if f.comments == nil || len(f.comments) >= mostComments {
		f.comments = map[commentKey]int64{}
	}
	f.comments[key] = id
}

// ours finds a comment of ours by its first line.
func (f *Forge) ours(ctx context.Context, number int, self, first string) (have comment, found bool, err error) {
	for page, pages := 1, 0; page > 0; pages++ {
		if pages == maxPages {
			return comment{}, false, errorf(Refused, "it has more than %d comments, and no more are looked at: open another", maxPages*perPage)
		}
		comments, next, err := f.provider.comments(ctx, number, page)
		if err != nil {
			return comment{}, false, err
		}
		for _, c := range comments {
			if begins, _, _ := strings.Cut(plain(c.body), "\n"); strings.EqualFold(c.author, self) && begins == first {
				return c, true, nil
			}
		}
		page = next
	}
	return comment{}, false, nil
}
