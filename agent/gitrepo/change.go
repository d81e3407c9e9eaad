package gitrepo

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
)

// Commit is a commit that is to be made.
type Commit struct {
	// Base is the commit, in the mirror, on top of which it is made.
	Base string
	// Branch that gets it; see CheckBranch. With Advances it is a branch of people's, such as main, which
	// has to be at Base and moves on to the commit: nothing is ever replaced there.
	Branch   string
	Advances bool
	// Topic says in one line what the commit is about, the same for every attempt at it. It
	// becomes the last line of the message, and tells those commits that may be replaced by this
	// one: by the same author, on the same topic.
	Topic string
	// Message, with a subject. A commit that would differ from one that is there in nothing but its
	// message and its time is not made.
	Message string
	// Files by their paths: the new content, nil for none. A file that was there keeps its mode.
	Files map[string][]byte
	// Author is also the committer.
	Author Author
	// Time of the commit. Two commits with the same fields have the same id.
	Time time.Time
	// Replaces is the tip of the branch that may be replaced whoever made it: one that the caller
	// has on record as its own. It may be empty.
	Replaces string
}

// Author is who makes a commit.
type Author struct{ Name, Email string }

// Limits on what is committed.
const (
	maxChanged      = 1000 // files
	maxMessage      = 64 << 10
	maxTopic        = 1000
	topicLine       = "Sluice-Topic: "
	modeFile   mode = "100644"
)

// check refuses what no commit can be made of.
func (c Commit) check() error {
	checkBranch := CheckBranch
	if c.Advances {
		checkBranch = checkAdvanced
	}
	if err := checkBranch(c.Branch); err != nil {
		return err
	}
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	switch subject, _, _ := strings.Cut(c.Message, "\n"); {
	case strings.TrimSpace(subject) == "" || len(c.Message) > maxMessage || !utf8.ValidString(c.Message) || strings.ContainsFunc(c.Message, control):
		return errorf(Invalid, "the message of the commit is empty, too long or not text")
	case strings.TrimSpace(c.Topic) != c.Topic || c.Topic == "" || len(c.Topic) > maxTopic || strings.ContainsFunc(c.Topic, isUnprintable):
		return errorf(Invalid, "the topic %q of the commit is not one line of text", printable(c.Topic))
	case !isName(c.Author.Name) || !isName(c.Author.Email):
		return errorf(Invalid, "the author %q <%s> of the commit cannot be written into it; give a name and an e-mail address", printable(c.Author.Name), printable(c.Author.Email))
	case c.Time.Unix() < 0:
		return errorf(Invalid, "the commit has no time")
	case len(c.Files) > maxChanged:
		return errorf(TooLarge, "the commit changes %d files, more than the %d allowed", len(c.Files), maxChanged)
	}
	for name := range c.Files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || slices.ContainsFunc(strings.Split(name, "/"), isGitDir) {
			return errorf(Invalid, "%q is no path of a file in a repository", printable(name))
		}
	}
	return nil
}

// isUnprintable is also true for what is no UTF-8.
func isUnprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

func isName(s string) bool {
	return s != "" && s == printable(s) && !strings.ContainsAny(s, "<>")
}

func isGitDir(part string) bool { return strings.EqualFold(part, ".git") }

// text is the message with the topic.
func (c Commit) text() string {
	return strings.TrimSpace(c.Message) + "\n\n" + topicLine + c.Topic + "\n"
}

// replaceable tells whether a commit is an earlier attempt at this one.
func (c Commit) replaceable(tip *gitobject.Commit) bool {
	last := strings.TrimSpace(tip.Message)
	last = last[strings.LastIndexByte(last, '\n')+1:]
	is := func(s gitobject.Signature) bool { return s.Name == c.Author.Name && s.Email == c.Author.Email }
	return is(tip.Author) && is(tip.Committer) && last == topicLine+c.Topic && len(tip.ParentHashes) == 1
}

// change is a commit with all objects that its base does not have.
type change struct {
	id, tree, parent plumbing.Hash
	base             *Tree
	newObjects
}

// same tells whether a commit has the same files on the same base.
func (c *change) same(tip *gitobject.Commit) bool {
	return tip.TreeHash == c.tree && slices.Equal(tip.ParentHashes, []plumbing.Hash{c.parent})
}

// build makes the objects of a commit from what the mirror at dir has of its base.
func (c Commit) build(dir string) (*change, error) {
	base, err := OpenTree(dir, c.Base)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	made := &change{base: base, parent: plumbing.NewHash(c.Base)}
	if made.tree, err = made.directory(base.root.id, "", c.Files, 0); err != nil {
		return nil, err
	}
	if made.tree == base.root.id {
		return nil, errorf(Invalid, "the commit would change nothing in %s", c.Base)
	}
	who := fmt.Sprintf("%s <%s> %d +0000", c.Author.Name, c.Author.Email, c.Time.Unix())
	made.id, err = made.add(plumbing.CommitObject, fmt.Appendf(nil, "tree %s\nparent %s\nauthor %s\ncommitter %s\n\n%s", made.tree, made.parent, who, who, c.text()))
	return made, err
}

// directory changes files in a directory, which need not be there, and returns its new id: zero
// if nothing is left in it. At is its path with a slash at the end, empty for the root.
func (c *change) directory(id plumbing.Hash, at string, files map[string][]byte, depth int) (plumbing.Hash, error) {
	if depth > maxDepth {
		return plumbing.ZeroHash, errorf(TooLarge, "the path %q is more than %d directories deep", printable(at), maxDepth)
	}
	before := &directory{}
	if !id.IsZero() {
		var err error
		if before, err = c.base.store.directory(id); err != nil {
			return plumbing.ZeroHash, c.base.explain(err, maxDirectory)
		}
	}
	entries := slices.Clone(before.entries)
	below := map[string]map[string][]byte{} // by the first part of the path; a file itself has no other
	for name, content := range files {
		first, rest, _ := strings.Cut(name, "/")
		if below[first] == nil {
			below[first] = map[string][]byte{}
		}
		below[first][rest] = content
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		e, err := c.entry(before.find(name), at, name, below[name], depth)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries = slices.DeleteFunc(entries, func(e treeEntry) bool { return e.name == name })
		if !e.id.IsZero() {
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 && at != "" {
		return plumbing.ZeroHash, nil
	}
	return c.add(plumbing.TreeObject, encodeDirectory(entries))
}

// entry changes one entry of a directory. A zero id is one that goes.
func (c *change) entry(e treeEntry, at, name string, files map[string][]byte, depth int) (treeEntry, error) {
	there := e.name != ""
	content, isFile := files[""]
	wrong := func(what string) (treeEntry, error) {
		return treeEntry{}, errorf(Invalid, "%s %s; the commit cannot change it", printable(at+name), what)
	}
	if there && e.mode != modeDir {
		if err := e.closed(); err != nil {
			return wrong(err.Error())
		}
	}
	switch {
	case isFile && len(files) > 1:
		return wrong("is to be a file and a directory")
	case isFile && e.mode == modeDir:
		return wrong("is a directory")
	case isFile && content == nil && !there:
		return wrong("is not there")
	case isFile && content == nil:
		return treeEntry{}, nil
	case !isFile && there && e.mode != modeDir:
		return wrong("is a file and no directory")
	}
	e.name = name
	var err error
	if isFile {
		if !there {
			e.mode = modeFile
		}
		e.id, err = c.add(plumbing.BlobObject, content)
		return e, err
	}
	e.mode = modeDir
	e.id, err = c.directory(e.id, at+name+"/", files, depth+1)
	return e, err
}

// encodeDirectory writes a tree object. Git sorts directories as if their names ended in a slash.
func encodeDirectory(entries []treeEntry) []byte {
	key := func(e treeEntry) string {
		if e.mode == modeDir {
			return e.name + "/"
		}
		return e.name
	}
	slices.SortFunc(entries, func(a, b treeEntry) int { return strings.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, e := range entries {
		b.WriteString(string(e.mode) + " " + e.name + "\x00")
		b.Write(e.id[:])
	}
	return b.Bytes()
}
