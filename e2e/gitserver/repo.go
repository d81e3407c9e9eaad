package gitserver

// Repo is a bare repository of a server. Its methods change it where it lies, as a push
// would; none needs credentials.
type Repo struct {
	// URL is where to clone it from over HTTP.
	URL string
	// Dir is the bare repository.
	Dir string

	path   string
	server *Server
}

// Git runs git in the bare repository and returns what it prints.
func (r *Repo) Git(arguments ...string) (string, error) { return git(r.Dir, nil, arguments...) }

// Hash is the commit a branch, tag or other name stands for.
func (r *Repo) Hash(name string) (string, error) {
	return r.Git("rev-parse", "--verify", "--end-of-options", name+"^{commit}")
}

// SetBranch makes the branch stand at a commit, whatever it stood at: a new branch, or what
// a forced push leaves.
func (r *Repo) SetBranch(branch, commit string) error {
	_, err := r.Git("update-ref", "refs/heads/"+branch, commit)
	return err
}

// DeleteBranch deletes a branch, be it the default one.
func (r *Repo) DeleteBranch(branch string) error {
	_, err := r.Git("update-ref", "-d", "refs/heads/"+branch)
	return err
}

// SetTag makes a lightweight tag, or moves it.
func (r *Repo) SetTag(tag, commit string) error {
	_, err := r.Git("tag", "--force", tag, commit)
	return err
}

// Annotate makes an annotated tag.
func (r *Repo) Annotate(tag, commit, message string) error {
	_, err := r.Git("-c", "user.name="+authorName, "-c", "user.email="+authorEmail, "tag", "--annotate", "--message="+message, tag, commit)
	return err
}

// DeleteTag deletes a tag.
func (r *Repo) DeleteTag(tag string) error {
	_, err := r.Git("update-ref", "-d", "refs/tags/"+tag)
	return err
}

// SetDefaultBranch changes what HEAD names.
func (r *Repo) SetDefaultBranch(branch string) error {
	_, err := r.Git("symbolic-ref", "HEAD", "refs/heads/"+branch)
	return err
}
