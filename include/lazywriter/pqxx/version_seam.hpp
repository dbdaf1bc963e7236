// The one place that knows more than one libpqxx: 6.4, 7.5 to 7.x and 8.x. Everything else uses
// what they share: connection, nontransaction, prepare, and results read as text.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if PQXX_VERSION_MAJOR < 6 || (PQXX_VERSION_MAJOR == 6 && PQXX_VERSION_MINOR < 4)
#error "lazywriter needs libpqxx 6.4 or newer; this one is older"
#elif PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR < 5
#error "lazywriter needs libpqxx 6.4, or 7.5 or newer: 7.0 to 7.4 have no pqxx::params"
#elif PQXX_VERSION_MAJOR > 8
#error "lazywriter knows libpqxx 6.4, 7.x and 8.x; this one is newer"
#endif

namespace lazywriter::pg::detail {

/// Text parameters of one statement; none is NULL. They are moved from: a batch is large.
using Parameters = std::vector<std::string>;

#if PQXX_VERSION_MAJOR >= 8 || (PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR >= 10)

inline pqxx::params as_params(Parameters&& parameters) {
  pqxx::params converted;
  converted.reserve(parameters.size());
  for (std::string& parameter : parameters)
    converted.append(std::move(parameter));
  return converted;
}

inline pqxx::result run(pqxx::transaction_base& on, const std::string& sql,
                        Parameters&& parameters) {
  return on.exec(std::string_view{sql}, detail::as_params(std::move(parameters)));
}

inline pqxx::result run_prepared(pqxx::transaction_base& on, const std::string& name,
                                 Parameters&& parameters) {
  return on.exec(pqxx::prepped{name}, detail::as_params(std::move(parameters)));
}

#else

#if PQXX_VERSION_MAJOR >= 7
inline pqxx::params as_params(Parameters&& parameters) {
  pqxx::params converted;
  converted.reserve(parameters.size());
  for (std::string& parameter : parameters)
    converted.append(std::move(parameter));
  return converted;
}
#else
inline auto as_params(Parameters&& parameters) {
  return pqxx::prepare::make_dynamic_params(std::make_move_iterator(parameters.begin()),
                                            std::make_move_iterator(parameters.end()));
}
#endif

inline pqxx::result run(pqxx::transaction_base& on, const std::string& sql,
                        Parameters&& parameters) {
  return on.exec_params(sql, detail::as_params(std::move(parameters)));
}

inline pqxx::result run_prepared(pqxx::transaction_base& on, const std::string& name,
                                 Parameters&& parameters) {
  return on.exec_prepared(name, detail::as_params(std::move(parameters)));
}

#endif

/// The text of one field, nullopt for NULL. It lives as long as the result.
inline std::optional<std::string_view> field_text(const pqxx::result& rows, std::size_t row,
                                                  std::size_t column) {
  const auto line = rows[static_cast<pqxx::result::size_type>(row)];
  const auto field = line[static_cast<pqxx::row_size_type>(column)];
  if (field.is_null()) return std::nullopt;
  return std::string_view{field.c_str(), static_cast<std::size_t>(field.size())};
}

/// The number of rows.
inline std::size_t row_count(const pqxx::result& rows) {
  return static_cast<std::size_t>(rows.size());
}

}  // namespace lazywriter::pg::detail
