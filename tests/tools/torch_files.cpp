// What our readers and writers of PyTorch's files make of them, for comparison with PyTorch's own.
//
//   torch_files pickle IN PROTOCOL OUT        reads a pickle, writes what it says
//   torch_files object IN OUT                 ... as a torch.save file
//   torch_files tensor DTYPE SIZES IN OUT     the torch.save file of a tensor; IN: its elements
//   torch_files entry IN OFFSET LENGTH OUT    reads a torch.save file; OUT: the tensor's elements and
//                                             a line about it, or the object as a pickle
//   torch_files metadata IN OUT               reads .metadata, writes what it says
//   torch_files check FOLDER                  reads .metadata and checks it against the files

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/pickle/pickle.h"
#include "titan/formats/torch_archive/crc32.h"
#include "titan/formats/torch_archive/torch_archive.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace {

using namespace titan;
using namespace titan::formats;
using Arguments = std::vector<std::string>;

std::string read(const std::string& path) {
  return base::read_whole_file(base::posix_file_system(), path, std::uint64_t{1} << 32);
}

void write(const std::string& path, const std::string& bytes) {
  base::write_file_atomically(base::posix_file_system(), path, bytes);
}

std::string show(const std::vector<std::int64_t>& values) {
  std::string text = "[";
  for (const std::int64_t value : values)
    text += (text.size() > 1 ? "," : "") + std::to_string(value);
  return text + "]";
}

std::vector<std::int64_t> parse_sizes(const std::string& text) {
  std::vector<std::int64_t> sizes;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) sizes.push_back(std::stoll(word));
  return sizes;
}

void write_tensor(const Arguments& a) {
  const std::string payload = read(a[3]);
  TorchArchiveWriter archive = tensor_archive(a[1], parse_sizes(a[2]));
  const std::string begin = archive.begin();
  const std::string file = begin + payload + archive.after_payload(crc32(payload));
  TITAN_CHECK(archive.size() == file.size(), "the size was wrong");
  write(a[4], file);
}

void read_entry(const Arguments& a) {
  const auto file = base::posix_file_system().open_for_reading(a[1]);
  const TorchArchive archive(*file, std::stoull(a[2]), std::stoull(a[3]));
  const auto tensor = archive.tensor(archive.object());
  if (!tensor) {
    return write(a[4], write_pickle(archive.object(), 4));
  }
  archive.check_storage(*tensor);
  std::cout << tensor->dtype.name << " " << show(tensor->sizes) << " " << show(tensor->strides)
            << " " << tensor->first << (tensor->is_contiguous() ? " contiguous" : "") << "\n";
  const std::uint64_t start =
      tensor->is_contiguous() ? tensor->data_start() : tensor->storage_start;
  std::string bytes(tensor->is_contiguous() ? tensor->data_bytes() : tensor->storage_bytes, '\0');
  file->read_at(start, bytes);
  write(a[4], bytes);
}

void check(const std::string& folder) {
  const std::string path = folder + "/.metadata";
  const DcpMetadata metadata = read_dcp_metadata(read(path), path);
  check_dcp_files(base::posix_file_system(), folder, metadata);
  std::cout << metadata.entries.size() << " entries\n";
}

void run(const Arguments& a) {
  const std::string command = a.empty() ? "" : a[0];
  if (command == "pickle" && a.size() == 4) {
    write(a[3], write_pickle(read_pickle(read(a[1])), std::stoi(a[2])));
  } else if (command == "object" && a.size() == 3) {
    write(a[2], object_archive(read_pickle(read(a[1]))));
  } else if (command == "tensor" && a.size() == 5) {
    write_tensor(a);
  } else if (command == "entry" && a.size() == 5) {
    read_entry(a);
  } else if (command == "metadata" && a.size() == 3) {
    write(a[2], write_dcp_metadata(read_dcp_metadata(read(a[1]), a[1])));
  } else if (command == "check" && a.size() == 2) {
    check(a[1]);
  } else {
    throw ConfigError("torch_files: see its first lines");
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(Arguments(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
