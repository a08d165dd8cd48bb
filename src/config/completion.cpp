#include "config/program_arguments.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"
#include "titan/config/print.h"

namespace titan::config {
namespace {

/// An argument as the shells see it.
struct Argument {
  std::string name;   ///< without its dashes
  std::string help;   ///< in one line, without what shells would read
  std::string words;  ///< values to choose from, separated by blanks
  bool takes_value = false;
};

/// The first sentence, without the characters that end or begin something in one of the shells.
std::string plain(const std::string& help) {
  std::string text = help.substr(0, help.find_first_of(".;"));
  std::erase_if(text, [](char c) {
    return std::string_view("'\"`$\\[]:()\n").find(c) != std::string_view::npos;
  });
  return text;
}

std::vector<Argument> arguments() {
  std::vector<Argument> all;
  for (const ProgramOption& own : program_option_table()) {
    all.push_back({own.name, plain(own.help), own.words, own.takes_value});
  }
  for (const Option& option : options()) {
    if (option.given_by == GivenBy::kTomlOnly) continue;
    const bool is_switch = option.type == ValueType::kBool;
    const std::string help = plain(option.help);
    all.push_back({option.full_name(), help, joined(option.choices, " "), !is_switch});
    if (is_switch) {
      all.push_back({concat(option.section, ".no-", option.name), "not: " + help, "", false});
      std::erase(all.back().help, ':');
    }
  }
  return all;
}

std::string bash_script(const std::vector<Argument>& all) {
  std::string names;
  std::string choices;
  std::string others;  // take a value that is no word of a list: a file, as far as a shell knows
  for (const Argument& argument : all) {
    names += concat(names.empty() ? "" : " ", "--", argument.name);
    if (!argument.words.empty()) {
      choices += concat("    --", argument.name, ") words='", argument.words, "' ;;\n");
    } else if (argument.takes_value) {
      others += concat(others.empty() ? "" : " | ", "--", argument.name);
    }
  }
  return concat(R"(# Completion of titan_train for bash: source <(titan_train --completion bash)
_titan_train() {
  local current="${COMP_WORDS[COMP_CWORD]}" option="${COMP_WORDS[COMP_CWORD - 1]}" words=''
  # bash takes "--a=b" for three words.
  if [[ "$current" == '=' ]]; then
    current=''
  elif [[ "$option" == '=' ]]; then
    option="${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  COMPREPLY=()
  case "$option" in
)",
                choices, "    ", others, R"()
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    *)
      words=')",
                names, R"('
      [[ "$COMP_CWORD" != 1 || "$current" == -* ]] || words='tokenize generate convert schedule profile plot' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _titan_train titan_train run_train.sh
)");
}

std::string zsh_script(const std::vector<Argument>& all) {
  std::string specs;
  for (const Argument& argument : all) {
    const std::string value = argument.words.empty() ? "_files" : "(" + argument.words + ")";
    specs += concat("    '--", argument.name, argument.takes_value ? "=" : "", "[", argument.help,
                    "]", argument.takes_value ? ":value:" + value : "", "'\n");
  }
  return concat(R"(#compdef titan_train run_train.sh
# Completion of titan_train for zsh: source <(titan_train --completion zsh)
_titan_train() {
  local -a options
  options=(
)",
                specs, R"(  )
  _arguments -S $options '1::command:(tokenize generate convert schedule profile plot)' '*:file:_files'
}
compdef _titan_train titan_train run_train.sh
)");
}

std::string fish_script(const std::vector<Argument>& all) {
  std::string text =
      "# Completion of titan_train for fish: titan_train --completion fish | source\n"
      "complete -c titan_train -n __fish_use_subcommand -a 'tokenize generate convert schedule "
      "profile plot'\n";
  for (const Argument& argument : all) {
    const std::string value = !argument.takes_value    ? ""
                              : argument.words.empty() ? " -r"
                                                       : " -x -a '" + argument.words + "'";
    text +=
        concat("complete -c titan_train -l ", argument.name, value, " -d '", argument.help, "'\n");
  }
  return text;
}

}  // namespace

std::string completion_script(Shell shell) {
  const std::vector<Argument> all = arguments();
  switch (shell) {
    case Shell::kBash:
      return bash_script(all);
    case Shell::kZsh:
      return zsh_script(all);
    case Shell::kFish:
      return fish_script(all);
  }
  throw InternalError("unknown shell");
}

}  // namespace titan::config
