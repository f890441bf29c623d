# Types lines into an interactive zsh in a terminal, completes each, and prints what the line is then.
# Usage: zsh -f completions.zsh SCRIPT LINE…
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT=''; autoload -Uz compinit; compinit -u -D; source $1; show() { print -r -- \"<\$BUFFER>\"; BUFFER=''; }; zle -N show; bindkey '^X' show; bindkey '^I' complete-word; unsetopt auto_list auto_menu; print REA''DY"
zpty -r shell out '*READY*'
shift
for line in "$@"; do
  zpty -w -n shell "$line"$'\t\030'
  zpty -r shell out '*<*>*'
  print -r -- ${${out##*<}%%>*}
done
zpty -d shell
