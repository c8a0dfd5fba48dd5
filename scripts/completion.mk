# Completion scripts come out of the tools' own option tables (--completion), under the names they are installed by, so
# that --program-prefix is heeded. A cross build cannot run the tools and installs none.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
noinst_DATA = completion.stamp
CLEANFILES += completion.stamp
completion.stamp: $(bin_PROGRAMS)
	@rm -rf completion && $(MKDIR_P) completion/bash completion/zsh completion/fish
	@test '$(build_triplet)' = '$(host_triplet)' || exit 0; \
	for p in $(bin_PROGRAMS); do \
		n=`echo "$$p" | sed 's|.*/||; $(transform)'`; \
		ln -s "../$$p" "completion/$$n" && \
		"completion/$$n" --completion bash >"completion/bash/$$n" && \
		"completion/$$n" --completion zsh >"completion/zsh/_$$n" && \
		"completion/$$n" --completion fish >"completion/fish/$$n.fish" || exit 1; \
		rm "completion/$$n"; \
	done
	@touch $@
install-data-local: completion.stamp
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)' '$(DESTDIR)$(zshcompletiondir)' '$(DESTDIR)$(fishcompletiondir)'
	@for f in completion/bash/*; do \
		test ! -e "$$f" || $(INSTALL_DATA) "$$f" '$(DESTDIR)$(bashcompletiondir)' || exit 1; done
	@for f in completion/zsh/*; do \
		test ! -e "$$f" || $(INSTALL_DATA) "$$f" '$(DESTDIR)$(zshcompletiondir)' || exit 1; done
	@for f in completion/fish/*; do \
		test ! -e "$$f" || $(INSTALL_DATA) "$$f" '$(DESTDIR)$(fishcompletiondir)' || exit 1; done
uninstall-local:
	@for p in $(bin_PROGRAMS); do \
		n=`echo "$$p" | sed 's|.*/||; $(transform)'`; \
		rm -f "$(DESTDIR)$(bashcompletiondir)/$$n" "$(DESTDIR)$(zshcompletiondir)/_$$n" \
			"$(DESTDIR)$(fishcompletiondir)/$$n.fish"; \
	done
clean-local:
	-rm -rf completion
