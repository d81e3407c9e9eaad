// Package gitrepo brings commits from a Git server into a local mirror, reads their files
// from there, merges them, and pushes commits that change a few of them.
//
// What goes in: a [Remote] (where the repository is and how to reach it), a [Want] (which
// commit), a directory. What comes out: a [Fetched] with the agent.Revision that was
// found, a [Tree] with its files, the [Signer] of the commit, and what a merge would come
// to as a [Merged]. What it never does: run a
// program or a shell, check files out, follow a link, overwrite what somebody else pushed,
// replace or delete a branch that is not below [Branches], keep global state, or put a
// credential into an error.
//
// [FetchRepository] takes the Remote and the Want from a Repository object, and is the one
// place that reads the Secrets that it names.
//
// [CloneTree] reads the files of a commit in a clone that somebody else keeps, for a command
// line that works on one. [OpenFiles] opens what is in a mirror, in a clone, or on disk.
//
// # Fetching
//
// [Mirror.Fetch] asks the remote for its references, one round trip, and looks the wanted
// one up in the answer; names are only ever compared, never handed to anything. If the
// mirror has the commit, that was all. Otherwise it tries, in this order,
//
//  1. an incremental fetch, which tells the server what the mirror has,
//  2. a shallow clone of that one commit, for a new mirror and whenever the first is
//     refused, incomplete, or larger than a clone would be,
//  3. a full clone, for servers that know no shallow clones and for commits that a server
//     only gives away as part of a branch's history.
//
// A mirror begins shallow, yet tells the server that it has its commits as if it had their
// history too. That is what makes the next commit cost milliseconds, and it is a white
// lie: after a rollback, a force push, or a merge of an old branch the server may leave
// out objects that only the history holds. So nothing is believed: before a commit counts
// as fetched, its tree is compared with the newest commit known to be whole, and every
// object that differs has to be there. If one is missing, the next attempt follows.
//
// [Mirror.FetchAll] asks once for several commits, to merge them, and brings their history: a clone
// without a depth comes before the shallow one.
//
// # The mirror on disk
//
// A mirror is a directory of generations, each a bare Git repository of packs:
//
//	000001.git/objects/pack/pack-….pack, pack-….idx
//	000001.git/objects/pack/merge-<commit>.pack, merge-<commit>.idx
//	000001.git/tips      the commits that are whole, oldest first
//	000001.git/damaged   exists once somebody could not read what should be there
//	000002.git/…
//
// The highest number is the current one. Every file is written under another name and
// renamed, the pack before its index and the index before the tip, so that a crash leaves
// nothing behind that looks whole but is not. Each fetch that transfers something adds a
// pack. When the packs are too many or too large, the next fetch clones into a new
// generation, which appears by a rename, and the generation before it stays until the next
// time; so what has been fetched stays readable for about a hundred changes more, less if
// they are large. A damaged generation is replaced the same way: a mirror that broke costs
// a clone, never an error.
//
// One process writes to a mirror; any number may read, at any time. A Tree opens the packs
// when it is made and keeps them open: a generation that is removed meanwhile stays
// readable for it, and the next [OpenTree] finds the new one.
//
// # Merging
//
// [Mirror.Merge] makes the commit that merging two fetched commits would come to. It compares the trees of
// the two and of their ancestor by object ids, goes only into directories that both sides have changed, and
// merges only the lines of files that both have changed. The way in which lines are compared is Git's, and
// so is what counts as a conflict: the tree is the one that git merge makes, but that files are not followed
// where they are renamed. Where one side renamed what the other changed, git may merge what is a conflict here.
//
// The new objects are a pack named after the commit. Its index appears last and says that the merge is
// whole; only those open it who read that merge. Servers are never told of merges. The newest few hundred
// are kept, as long as their generation is.
//
// # Pushing
//
// [Push] makes the objects that are new in a [Commit] (the files, the directories along their
// paths, the commit itself) from the trees of its base in the mirror, and sends them as a pack.
// It takes two round trips: where the branch is, and the pack with what the branch was. The server
// compares that before it moves the branch, so that nothing is ever overwritten blindly.
// If the branch is there already, its tip is read first: only an earlier attempt at the same
// commit makes way, and if that one is as good nothing is sent. A branch of people's, such as main,
// only ever moves on by a commit on top of where it is.
//
// # Signatures
//
// [Tree.Signers] verifies the signature of a commit, PGP or SSH, against public keys. What is signed
// are the bytes of the commit object without the signature itself.
//
// # Limits
//
// Git servers and repositories are not trusted. The list of references, the pack, one
// object, all objects of a pack together, delta chains, one file, what is committed and what
// a server says about it, what a merge reads, compares, makes and lists have upper bounds; a context without a deadline gets one; declared
// sizes are checked before memory is taken.
package gitrepo
